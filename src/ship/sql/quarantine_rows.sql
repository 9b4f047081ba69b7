-- Some records that are set aside, the oldest first.
-- $1 behind this quarantine_id, $2 up to this one, $3 how many at most
-- → quarantine_id, payload
SELECT q.quarantine_id, q.payload
FROM quarantine q
WHERE q.quarantine_id > $1::bigint AND q.quarantine_id <= $2::bigint
ORDER BY q.quarantine_id
LIMIT $3::bigint
