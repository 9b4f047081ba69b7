-- Deletes some of what was found of links, from before the horizon.
-- $1 horizon, $2 how many at most
DELETE FROM link_findings f
WHERE (f.day, f.site_id, f.page_id, f.finding) IN (
    SELECT o.day, o.site_id, o.page_id, o.finding FROM link_findings o
    WHERE o.day < ($1::timestamptz AT TIME ZONE 'UTC')::date LIMIT $2::bigint FOR UPDATE SKIP LOCKED
)
