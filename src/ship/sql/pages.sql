-- Adds rows of pages, as many of the new ones as the day's cap allows, by id.
-- $1 ids, $2 hits that name them, $3 sites, $4 host, $5 path, $6 locale, $7 cap
-- → id, site_id, uses, allowed, added (by nobody else meanwhile): one row for each that is new
WITH candidate AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::text[])
        AS c(id, uses, site_id, host, path, locale)
), fresh AS (
    SELECT c.*, row_number() OVER (PARTITION BY c.site_id ORDER BY c.id) AS rank
    FROM candidate c
    WHERE NOT EXISTS (SELECT FROM pages d WHERE d.page_id = c.id)
), allowance AS (
    SELECT c.*, c.rank <= $7::bigint - coalesce((
        SELECT g.added FROM dictionary_growth g
        WHERE g.day = (now() AT TIME ZONE 'UTC')::date AND g.kind = 'page' AND g.site_id = c.site_id), 0) AS
            allowed
    FROM fresh c
), written AS (
    INSERT INTO pages (page_id, site_id, host, path, locale)
    SELECT a.id, a.site_id, a.host, a.path, a.locale
    FROM allowance a WHERE a.allowed ORDER BY a.id
    ON CONFLICT DO NOTHING
    RETURNING page_id
)
SELECT a.id, a.site_id, a.uses, a.allowed, w.page_id IS NOT NULL AS added
FROM allowance a LEFT JOIN written w ON w.page_id = a.id
