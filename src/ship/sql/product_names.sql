-- Keeps the name last seen of products that are there already.
-- $1 keys, $2 names, $3 the days they were seen
WITH seen AS (
    SELECT s.* FROM unnest($1::bigint[], $2::text[], $3::date[]) AS s(product_key, name, named_on)
    WHERE s.name IS NOT NULL
), due AS (
    SELECT p.product_key, s.name, s.named_on
    FROM seen s JOIN products p USING (product_key)
    WHERE p.named_on IS NULL OR (s.named_on, s.name COLLATE "C") > (p.named_on, p.name COLLATE "C")
    ORDER BY p.product_key
    FOR UPDATE OF p
)
UPDATE products p SET name = d.name, named_on = d.named_on
FROM due d
WHERE p.product_key = d.product_key
  AND (p.named_on IS NULL OR (d.named_on, d.name COLLATE "C") > (p.named_on, p.name COLLATE "C"))
