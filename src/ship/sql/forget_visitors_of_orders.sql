-- Whom were orders joined to, or do reports about them name, who is not forgotten yet? Of an order that was forgotten only
-- those of whom something is known: the other names in it are replacements.
-- $1 site_id, $2 order_id
-- → visitor_id
WITH named AS (
    SELECT o.site_id, o.order_id, o.visitor_id, o.forgotten_at
    FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id) JOIN orders o USING (site_id, order_id)
), visitor AS (
    SELECT n.visitor_id, n.forgotten_at FROM named n
    UNION
    SELECT e.visitor_id, n.forgotten_at FROM named n JOIN order_entries e USING (site_id, order_id)
    UNION
    SELECT s.visitor_id, n.forgotten_at
    FROM named n JOIN order_entries e USING (site_id, order_id) JOIN sessions s ON s.session_id = e.session_id
)
SELECT DISTINCT x.visitor_id
FROM visitor x
LEFT JOIN visitors v ON v.visitor_id = x.visitor_id
WHERE x.visitor_id IS NOT NULL
  AND CASE WHEN v.visitor_id IS NULL THEN x.forgotten_at IS NULL ELSE v.identity <> 0 END
