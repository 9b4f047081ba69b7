-- Takes the lock of who brings records back, unless somebody has it; the transaction may wait for as long as that takes.
-- $1 number of the lock
-- → taken
SELECT pg_try_advisory_xact_lock($1::bigint) AS taken,
       set_config('idle_in_transaction_session_timeout', '0', true)
