-- Waits until nobody else holds a lock, and keeps others out until the end of the transaction.
-- $1 number of the lock
SELECT pg_advisory_xact_lock($1::bigint)
