-- Counts the orders of sessions anew, but for sessions that retention has passed: they are being counted themselves.
-- $1 session_id
UPDATE sessions s SET order_count = n.orders, order_points = n.points
FROM (
    SELECT a.session_id, count(o.order_id)::integer AS orders, coalesce(sum(o.points), 0)::integer AS points
    FROM (SELECT DISTINCT * FROM unnest($1::uuid[])) AS a(session_id)
    LEFT JOIN orders o USING (session_id)
    GROUP BY a.session_id
) n
WHERE s.session_id = n.session_id
  AND s.session_hour >= coalesce((SELECT h.horizon FROM retention_horizons h WHERE h.kind = 'sessions'), '-infinity')
  AND (s.order_count, s.order_points) IS DISTINCT FROM (n.orders, n.points)
