-- Whom were orders joined to, or do reports about them name, who is not forgotten yet?
-- $1 site_id, $2 order_id
-- → visitor_id
SELECT x.visitor_id
FROM (
    SELECT o.visitor_id
    FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id) JOIN orders o USING (site_id, order_id)
    UNION
    SELECT e.visitor_id
    FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id) JOIN order_entries e USING (site_id, order_id)
    UNION
    SELECT s.visitor_id
    FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id) JOIN order_entries e USING (site_id, order_id)
    JOIN sessions s ON s.session_id = e.session_id
) x
WHERE x.visitor_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM visitors v WHERE v.visitor_id = x.visitor_id AND v.identity = 0)
