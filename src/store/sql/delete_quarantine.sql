-- Deletes some of the records set aside before the horizon: they hold what visitors sent.
-- $1 horizon, $2 how many at most
DELETE FROM quarantine q
WHERE q.quarantine_id IN (
    SELECT o.quarantine_id FROM quarantine o
    WHERE o.at < $1::timestamptz LIMIT $2::bigint FOR UPDATE SKIP LOCKED
)
