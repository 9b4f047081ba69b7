-- What was done in the sessions of the window, page views included?
--
-- $1–$20   window and filters, as report_sessions() takes them
-- Rows, in no order: columns as exported
--
-- What is looked up for one session alone is behind an OFFSET 0: else the planner would look up the names for each action anew,
-- by reading them all.
SELECT e.at, coalesce(k.name, '(none)') AS type, e.session_id, e.visitor_id, g.host, g.path, p.product_id,
       p.name AS product_name, e.value::text AS value, e.currency, e.order_id, e.points, e.status, e.properties
FROM (
    SELECT x.at, x.kind_id, s.session_id, CASE WHEN s.identity <> 0 THEN s.visitor_id END AS visitor_id, x.page_id, x.product_key,
           x.value, x.currency, x.order_id, x.points, x.status, x.properties
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    CROSS JOIN LATERAL (
        SELECT CASE WHEN s.began_at < s.started_at THEN begun_in(s.visitor_id, s.session_id) END AS session_id
        OFFSET 0
    ) b
    CROSS JOIN LATERAL (
        SELECT x.*
        FROM events x
        -- The shop may tell of it long after the last page.
        WHERE x.session_id IN (s.session_id, b.session_id) AND x.at >= s.began_at - interval '1 minute' AND x.at >= first_hour($1)
        OFFSET 0
    ) x
    OFFSET 0
) e
LEFT JOIN action_kinds k ON k.kind_id = e.kind_id
LEFT JOIN pages g ON g.page_id = e.page_id
LEFT JOIN products p ON p.product_key = e.product_key
