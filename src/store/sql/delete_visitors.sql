-- Deletes some of the visitors last seen before the horizon. Waits for nobody: one who comes back in this moment is left
-- alone.
-- $1 horizon, $2 how many at most
DELETE FROM visitors v
WHERE v.visitor_id IN (
    SELECT o.visitor_id FROM visitors o
    WHERE o.last_seen < $1::timestamptz LIMIT $2::bigint FOR UPDATE SKIP LOCKED
)
