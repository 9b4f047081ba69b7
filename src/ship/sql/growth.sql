-- Counts new dictionary rows and hits that found no room, for today (UTC).
-- $1 kinds, $2 sites, $3 rows added, $4 hits refused
INSERT INTO dictionary_growth AS g (day, kind, site_id, added, refused)
SELECT (now() AT TIME ZONE 'UTC')::date, n.kind, n.site_id, n.added, n.refused
FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[]) AS n(kind, site_id, added, refused)
ORDER BY n.kind, n.site_id
ON CONFLICT (day, kind, site_id) DO UPDATE
SET added = g.added + excluded.added, refused = g.refused + excluded.refused
