-- Takes an advisory lock until the end of the transaction, unless somebody has it.
-- $1 number of the lock
-- → taken
SELECT pg_try_advisory_xact_lock($1::bigint) AS taken
