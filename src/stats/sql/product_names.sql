-- What are products called, of several names by the greatest?
--
-- $1 integer[] sites, $2 bigint[] keys, null = only what orders call it counts, $3 integer[] places of products, from 1, and
-- $4 text[] what orders call them
-- Rows in the order of the products: site, name text
SELECT s.name AS site, c.name
FROM unnest($1::integer[]) WITH ORDINALITY AS g(site_id, place)
LEFT JOIN (
    SELECT n.place, max(n.name) AS name
    FROM (
        SELECT o.place, o.name FROM unnest($3::integer[], $4::text[]) AS o(place, name)
        UNION ALL
        SELECT k.place, p.name
        FROM unnest($2::bigint[]) WITH ORDINALITY AS k(product_key, place)
        JOIN products p ON p.product_key = k.product_key
    ) n
    GROUP BY n.place
) c ON c.place = g.place
LEFT JOIN sites s ON s.site_id = g.site_id
ORDER BY g.place
