-- Which sessions of orders are kept no longer, and which visitors do reports about orders name of whom nothing has come?
-- Not sessions of which nothing has come: they may be somebody else's. They are renamed when they come.
-- $1 site_id, $2 order_id
-- → visitor_id, session_id: one of them
WITH named AS (
    SELECT o.site_id, o.order_id, o.session_id
    FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id) JOIN orders o USING (site_id, order_id)
    WHERE o.forgotten_at IS NULL
), session AS (
    SELECT n.session_id FROM named n
    UNION
    SELECT c.session_id FROM named n JOIN order_credits c USING (site_id, order_id)
)
SELECT e.visitor_id, NULL::uuid AS session_id
FROM named n JOIN order_entries e USING (site_id, order_id)
WHERE e.visitor_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM visitors v WHERE v.visitor_id = e.visitor_id)
UNION
SELECT NULL, x.session_id
FROM session x
WHERE x.session_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM sessions s WHERE s.session_id = x.session_id)
