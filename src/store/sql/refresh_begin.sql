-- Whoever sums up and freezes, or loses its client, must not keep others from it: its transaction ends by itself.
-- Its statements are too short for compiling them to pay.
-- $1 idle, $2 lock, $3 statement timeout, each in milliseconds, as text
SELECT set_config('idle_in_transaction_session_timeout', $1::text, true),
       set_config('lock_timeout', $2::text, true),
       set_config('statement_timeout', $3::text, true),
       set_config('jit', 'off', true)
