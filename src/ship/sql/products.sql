-- Adds rows of products, as many of the new ones as the day's cap allows, by id.
-- $1 ids, $2 hits that name them, $3 sites, $4 product_id, $5 name, $6 named_on, $7 cap
-- → id, site_id, uses, allowed, added (by nobody else meanwhile): one row for each that is new
WITH candidate AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::date[])
        AS c(id, uses, site_id, product_id, name, named_on)
), fresh AS (
    SELECT c.*, row_number() OVER (PARTITION BY c.site_id ORDER BY c.id) AS rank
    FROM candidate c
    WHERE NOT EXISTS (SELECT FROM products d WHERE d.product_key = c.id)
), allowance AS (
    SELECT c.*, c.rank <= $7::bigint - coalesce((
        SELECT g.added FROM dictionary_growth g
        WHERE g.day = (now() AT TIME ZONE 'UTC')::date AND g.kind = 'product' AND g.site_id = c.site_id), 0)
            AS allowed
    FROM fresh c
), written AS (
    INSERT INTO products (product_key, site_id, product_id, name, named_on)
    SELECT a.id, a.site_id, a.product_id, a.name, a.named_on
    FROM allowance a WHERE a.allowed ORDER BY a.id
    ON CONFLICT DO NOTHING
    RETURNING product_key
)
SELECT a.id, a.site_id, a.uses, a.allowed, w.product_key IS NOT NULL AS added
FROM allowance a LEFT JOIN written w ON w.product_key = a.id
