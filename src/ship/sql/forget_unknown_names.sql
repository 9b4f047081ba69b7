-- Which ids do reports about orders name of whom nothing else has come so far?
-- $1 site_id, $2 order_id
-- → visitor_id, session_id: one of them
SELECT e.visitor_id, NULL::uuid AS session_id
FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id)
JOIN orders o USING (site_id, order_id)
JOIN order_entries e USING (site_id, order_id)
WHERE o.forgotten_at IS NULL AND e.visitor_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM visitors v WHERE v.visitor_id = e.visitor_id)
UNION
SELECT NULL, e.session_id
FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id)
JOIN orders o USING (site_id, order_id)
JOIN order_entries e USING (site_id, order_id)
WHERE o.forgotten_at IS NULL AND e.session_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM sessions s WHERE s.session_id = e.session_id)
