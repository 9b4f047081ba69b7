-- A shipper that freezes or loses its client must not hold others up: its transaction ends by itself.
-- Nor is anything compiled: statements over thousands of rows look dear enough for it, and run for a tenth of a second.
-- $1 idle, $2 lock, $3 statement timeout, each in milliseconds, as text
SELECT set_config('idle_in_transaction_session_timeout', $1::text, true),
       set_config('lock_timeout', $2::text, true),
       set_config('statement_timeout', $3::text, true),
       set_config('jit', 'off', true)
