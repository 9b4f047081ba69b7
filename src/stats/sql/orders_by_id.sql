-- Which orders have this id, on which sites?
--
-- $1 text  the shop's order id, $2 text site, null = any
-- Rows by site: columns of order_details, forgotten boolean: whoever placed it
SELECT o.*, x.forgotten_at IS NOT NULL AS forgotten
FROM order_details o
JOIN orders x USING (site_id, order_id)
WHERE o.order_id = $1 AND ($2::text IS NULL OR o.site = $2)
ORDER BY o.site
