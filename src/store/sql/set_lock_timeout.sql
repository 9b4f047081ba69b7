-- Gives up waiting for a lock within this transaction.
-- $1 milliseconds, as text
SELECT set_config('lock_timeout', $1::text, true)
