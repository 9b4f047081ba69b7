-- Limits of this transaction: for a lock, and for a pause of ours in it; none for a statement.
-- $1 lock timeout, $2 idle timeout, each in milliseconds, as text
SELECT set_config('lock_timeout', $1::text, true),
       set_config('idle_in_transaction_session_timeout', $2::text, true),
       set_config('statement_timeout', '0', true)
