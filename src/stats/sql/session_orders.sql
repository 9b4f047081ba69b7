-- Which orders is one session a conversion with?
--
-- $1 uuid  session id
-- Rows by time: columns of order_details
SELECT o.*
FROM order_details o
WHERE o.session_id = $1
ORDER BY o.placed_at, o.order_id
