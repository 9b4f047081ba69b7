-- Adds by what payment providers know orders.
-- $1 site_id, $2 reference, $3 order_id
INSERT INTO order_references (site_id, reference, order_id)
SELECT n.site_id, n.reference, n.order_id
FROM unnest($1::integer[], $2::text[], $3::text[]) AS n(site_id, reference, order_id)
ORDER BY n.site_id, n.reference COLLATE "C", n.order_id COLLATE "C"
ON CONFLICT DO NOTHING
