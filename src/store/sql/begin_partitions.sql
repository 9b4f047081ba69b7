-- Gives up waiting for a lock within this transaction, which ends when it stands still.
-- $1 lock, $2 idle timeout, each in milliseconds, as text
SELECT set_config('lock_timeout', $1::text, true), set_config('idle_in_transaction_session_timeout', $2::text, true)
