-- Which orders may touches of a batch earn that another browser of the customer came with?
-- $1 visitor_id, $2 time of the touch
-- → site_id, order_id
--
-- Most shops tell no keys of customers, and most visitors who come have ordered nothing: then little is looked up.
SELECT DISTINCT a.site_id, c.order_id
FROM (SELECT t.visitor_id, min(t.at) AS at
      FROM unnest($1::uuid[], $2::timestamptz[]) AS t(visitor_id, at) GROUP BY t.visitor_id) t
CROSS JOIN LATERAL (
    SELECT o.site_id, o.order_id FROM orders o
    WHERE o.visitor_id = t.visitor_id AND o.joined_by IN ('cookie', 'session', 'visitor')
    OFFSET 0
) a
CROSS JOIN LATERAL customer_orders(a.site_id, a.order_id, 'infinity') c
WHERE c.placed_at >= t.at
  AND EXISTS (SELECT FROM order_entries WHERE phone IS NOT NULL OR email IS NOT NULL OR user_id IS NOT NULL)
