-- Which orders are one customer's with these, or may be credited to what brought these visitors?
-- $1 site_id, $2 order_id, $3 visitor_id
-- → site_id, order_id
SELECT x.site_id, x.order_id
FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id)
JOIN orders o USING (site_id, order_id)
JOIN orders x ON x.site_id = o.site_id AND x.customer = o.customer
UNION
SELECT i.site_id, i.order_id FROM orders_of_identified($3::uuid[]) i
