-- Which orders are one customer's with these?
-- $1 site_id, $2 order_id
-- → site_id, order_id
SELECT DISTINCT x.site_id, x.order_id
FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id)
JOIN orders o USING (site_id, order_id)
JOIN orders x ON x.site_id = o.site_id AND x.customer = o.customer
