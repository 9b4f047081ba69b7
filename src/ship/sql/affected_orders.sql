-- Orders that facts of a batch may change: those of a visitor who did something up to the moment of the order, and
-- those that name a session or a visitor which they were not joined to so far.
-- $1 sessions, $2 visitors, $3 least time of each session's hits
-- → site_id, order_id
WITH seen AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS s(session_id, visitor_id, least_at)
)
SELECT o.site_id, o.order_id
FROM seen s JOIN orders o ON o.visitor_id = s.visitor_id
WHERE o.placed_at >= s.least_at
UNION
SELECT o.site_id, o.order_id
FROM seen s
JOIN order_entries e ON e.session_id = s.session_id
JOIN orders o ON (o.site_id, o.order_id) = (e.site_id, e.order_id)
WHERE o.placed_at >= s.least_at OR o.session_id IS DISTINCT FROM s.session_id
UNION
SELECT o.site_id, o.order_id
FROM seen s
JOIN order_entries e ON e.visitor_id = s.visitor_id
JOIN orders o ON (o.site_id, o.order_id) = (e.site_id, e.order_id)
WHERE o.placed_at >= s.least_at OR o.visitor_id IS DISTINCT FROM s.visitor_id
