-- By what are products known that shops name?
--
-- $1 integer[] sites, $2 text[] the shops' ids
-- Rows, without those that are not known: place integer from 1, product_key bigint
SELECT n.place::integer AS place, p.product_key
FROM unnest($1::integer[], $2::text[]) WITH ORDINALITY AS n(site_id, product_id, place)
JOIN products p ON p.site_id = n.site_id AND p.product_id = n.product_id
