-- Which orders are visitors', or name one of them or of their sessions?
-- $1 visitor_id, $2 session_id
-- → site_id, order_id
SELECT o.site_id, o.order_id FROM orders o WHERE o.visitor_id = ANY ($1::uuid[])
UNION
SELECT e.site_id, e.order_id FROM order_entries e WHERE e.visitor_id = ANY ($1::uuid[])
UNION
SELECT e.site_id, e.order_id FROM order_entries e WHERE e.session_id = ANY ($2::uuid[])
