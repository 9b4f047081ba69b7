-- Ends statements of this transaction that take longer.
-- $1 milliseconds, as text
SELECT set_config('statement_timeout', $1::text, true)
