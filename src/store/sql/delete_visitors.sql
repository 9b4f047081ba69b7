-- Deletes some of the visitors last seen before the horizon, but none whose sessions are still there. Waits for nobody:
-- one who comes back in this moment is left alone.
-- $1 horizon, $2 how many at most
DELETE FROM visitors v
WHERE v.visitor_id IN (
    SELECT o.visitor_id FROM visitors o
    WHERE o.last_seen < $1::timestamptz
      AND NOT EXISTS (SELECT FROM fact_partitions p WHERE p.kind = 'sessions' AND p.ends_at <= $1::timestamptz)
    LIMIT $2::bigint FOR UPDATE SKIP LOCKED
)
