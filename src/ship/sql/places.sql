-- Adds rows of places, as many of the new ones as the day's cap allows, by id.
-- $1 ids, $2 hits that name them, $3 country, $4 country_name, $5 region, $6 city, $7 timezone, $8 cap
-- → id, site_id, uses, allowed, added (by nobody else meanwhile): one row for each that is new
WITH candidate AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
        AS c(id, uses, country, country_name, region, city, timezone)
), fresh AS (
    SELECT c.*, row_number() OVER (ORDER BY c.id) AS rank
    FROM candidate c
    WHERE NOT EXISTS (SELECT FROM places d WHERE d.place_id = c.id)
), allowance AS (
    SELECT c.*, c.rank <= $8::bigint - coalesce((
        SELECT g.added FROM dictionary_growth g
        WHERE g.day = (now() AT TIME ZONE 'UTC')::date AND g.kind = 'place' AND g.site_id = 0), 0) AS allowed
    FROM fresh c
), written AS (
    INSERT INTO places (place_id, country, country_name, region, city, timezone)
    SELECT a.id, a.country, a.country_name, a.region, a.city, a.timezone
    FROM allowance a WHERE a.allowed ORDER BY a.id
    ON CONFLICT DO NOTHING
    RETURNING place_id
)
SELECT a.id, 0 AS site_id, a.uses, a.allowed, w.place_id IS NOT NULL AS added
FROM allowance a LEFT JOIN written w ON w.place_id = a.id
