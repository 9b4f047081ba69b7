-- Deletes some of the identifications from before the horizon whose visitors are not known any more.
-- $1 horizon, $2 how many at most
DELETE FROM identifications i
WHERE (i.site_id, i.hash, i.subject) IN (
    SELECT o.site_id, o.hash, o.subject FROM identifications o
    WHERE o.at < $1::timestamptz AND NOT EXISTS (SELECT FROM visitors v WHERE v.visitor_id = o.subject)
    LIMIT $2::bigint FOR UPDATE SKIP LOCKED
)
