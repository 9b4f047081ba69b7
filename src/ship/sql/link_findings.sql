-- Counts what is wrong with links.
-- $1 day, $2 site_id, $3 page_id, $4 finding, $5 hits
INSERT INTO link_findings AS f (day, site_id, page_id, finding, hits)
SELECT n.day, n.site_id, n.page_id, n.finding, n.hits
FROM unnest($1::date[], $2::integer[], $3::bigint[], $4::smallint[], $5::bigint[])
    AS n(day, site_id, page_id, finding, hits)
ORDER BY n.day, n.site_id, n.page_id, n.finding
ON CONFLICT (day, site_id, page_id, finding) DO UPDATE SET hits = f.hits + excluded.hits
