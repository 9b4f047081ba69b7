-- Which keys of customers do reports about these orders name?
-- $1 site_id, $2 order_id
-- → site_id, hash
SELECT DISTINCT a.site_id, k.hash
FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id) CROSS JOIN LATERAL keys_of_order(a.site_id, a.order_id) k
