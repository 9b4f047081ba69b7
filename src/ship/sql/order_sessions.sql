-- The sessions that orders are conversions of so far.
-- $1 site_id, $2 order_id
-- → session_id
SELECT DISTINCT o.session_id
FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id)
JOIN orders o USING (site_id, order_id)
WHERE o.session_id IS NOT NULL
