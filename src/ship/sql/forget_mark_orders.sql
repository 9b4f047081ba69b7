-- Marks orders whose customers are forgotten: those given, or with $3 those of them that are a forgotten visitor's.
-- $1 site_id, $2 order_id, $3 whether only of forgotten visitors
-- → one row for each
UPDATE orders o SET forgotten_at = now()
FROM (SELECT DISTINCT * FROM unnest($1::integer[], $2::text[])) AS a(site_id, order_id)
WHERE (o.site_id, o.order_id) = (a.site_id, a.order_id) AND o.forgotten_at IS NULL
  AND (NOT $3::boolean OR EXISTS (SELECT FROM visitors v WHERE v.visitor_id = o.visitor_id AND v.identity = 0))
RETURNING o.order_id
