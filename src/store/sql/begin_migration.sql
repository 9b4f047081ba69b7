-- Gives up waiting for a lock within this transaction; a statement that has its locks may take its time.
-- $1 milliseconds, as text
SELECT set_config('lock_timeout', $1::text, true), set_config('statement_timeout', '0', true)
