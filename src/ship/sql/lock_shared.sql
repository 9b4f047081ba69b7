-- Lets other batches be written beside this one, but none that computes orders.
-- $1 number of the lock
SELECT pg_advisory_xact_lock_shared($1::bigint)
