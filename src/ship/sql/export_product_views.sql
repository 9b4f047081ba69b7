-- Which products did visitors look at?
-- $1 visitor_id
-- → entry, JSON text
SELECT (to_jsonb(v) || jsonb_build_object('product_id', p.product_id, 'product_name', p.name))::text AS entry
FROM product_views v LEFT JOIN products p USING (product_key)
WHERE v.visitor_id = ANY ($1::uuid[])
ORDER BY v.at, v.session_id
