-- Gives up waiting for a lock within this transaction; a statement that has its locks may take its time, but nobody holds
-- them who is frozen or cut off. Notices, of what is there already, are no news.
-- $1 lock, $2 idle timeout, each in milliseconds, as text
SELECT set_config('lock_timeout', $1::text, true), set_config('idle_in_transaction_session_timeout', $2::text, true),
       set_config('statement_timeout', '0', true), set_config('client_min_messages', 'warning', true)
