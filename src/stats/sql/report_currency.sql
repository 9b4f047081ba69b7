-- Which currency do most orders have?
--
-- $1 text[]  sites, null = all
-- At most one row: currency text
SELECT o.currency
FROM orders o
WHERE o.currency IS NOT NULL
  AND ($1::text[] IS NULL OR o.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($1)))
GROUP BY o.currency
ORDER BY count(*) DESC, o.currency
LIMIT 1
