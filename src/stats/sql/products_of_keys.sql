-- Which products are these?
--
-- $1 bigint[] keys
-- Rows in the order of the keys: site_id integer, product_id text, null where there is none
SELECT p.site_id, p.product_id
FROM unnest($1::bigint[]) WITH ORDINALITY AS n(product_key, place)
LEFT JOIN products p ON p.product_key = n.product_key
ORDER BY n.place
