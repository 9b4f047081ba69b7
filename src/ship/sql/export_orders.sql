-- What is stored of orders?
-- $1 site_id, $2 order_id
-- → entry, JSON text
SELECT (to_jsonb(o) || jsonb_build_object('site', n.name))::text AS entry
FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id)
JOIN orders o USING (site_id, order_id)
LEFT JOIN sites n USING (site_id)
ORDER BY o.placed_at, o.order_id
