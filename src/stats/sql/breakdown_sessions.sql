-- How do the groups of a dimension compare that only single sessions have (device, browser, place, referrer, landing page)?
--
-- $1–$20   window and filters, $21–$25 money, as report_orders() takes them
-- $26 text    dimension: 'device' (type, brand, model), 'browser' (name, major version), 'os' (name, version),
--             'country' (code, name), 'region' (region, country), 'city' (city, region, country), 'referrer' (host),
--             'landing' (path, host)
-- $27 text    column to sort by, $28 boolean least first
-- $29 bigint  rows to pass over, $30 bigint rows to give
-- Rows: as breakdown.sql has them. Orders are those of the session that placed them.
WITH visits AS MATERIALIZED (
    SELECT s.visitor_id, s.converted, s.bounced, s.points, g.key_1, g.key_2, g.key_3
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    CROSS JOIN LATERAL session_groups($26::text, s.agent_id, s.place_id, s.referrer_id, s.landing_page_id) g
), visit_groups AS (
    SELECT v.key_1, v.key_2, v.key_3, count(*) AS sessions, count(DISTINCT v.visitor_id) AS visitors,
           count(*) FILTER (WHERE v.converted) AS conversions, count(*) FILTER (WHERE v.bounced) AS bounces,
           sum(v.points) AS points
    FROM visits v
    GROUP BY v.key_1, v.key_2, v.key_3
), order_groups AS (
    SELECT g.key_1, g.key_2, g.key_3, count(*) * 1000000 AS orders,
           count(*) FILTER (WHERE NOT o.counted) AS left_out,
           sum(o.revenue) AS revenue, sum(o.gross) AS gross, count(o.gross)::numeric AS valued_orders
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                       $21, $22, $23, $24, $25) o
    LEFT JOIN session_facts s ON s.session_id = o.session_id
    CROSS JOIN LATERAL session_groups($26, s.agent_id, s.place_id, s.referrer_id, s.landing_page_id) g
    WHERE o."position" = 1
    GROUP BY g.key_1, g.key_2, g.key_3
), groups AS (
    SELECT key_1, key_2, key_3,
           coalesce(v.sessions, 0) AS sessions, coalesce(v.visitors, 0) AS visitors,
           coalesce(v.conversions, 0) AS conversions, coalesce(v.bounces, 0) AS bounces,
           coalesce(v.points, 0) AS points, coalesce(o.orders, 0) AS orders, coalesce(o.left_out, 0) AS left_out,
           coalesce(o.revenue, 0) AS revenue, coalesce(o.gross, 0) AS gross, coalesce(o.valued_orders, 0) AS valued_orders
    FROM visit_groups v
    FULL JOIN order_groups o USING (key_1, key_2, key_3)
), ranked AS (
    SELECT g.*,
           row_number() OVER (
               ORDER BY CASE WHEN $28 THEN 1 ELSE -1 END
                        * CASE $27 WHEN 'visitors' THEN g.visitors
                                   WHEN 'conversions' THEN g.conversions
                                   WHEN 'conversion_rate' THEN g.conversions::numeric / nullif(g.sessions, 0)
                                   WHEN 'orders' THEN g.orders
                                   WHEN 'revenue' THEN g.revenue
                                   WHEN 'avg_order_value' THEN g.gross / nullif(g.valued_orders, 0)
                                   WHEN 'total_score' THEN g.points
                                   WHEN 'bounce_rate' THEN g.bounces::numeric / nullif(g.sessions, 0)
                                   ELSE g.sessions END NULLS LAST,
                        g.sessions DESC, g.revenue DESC, g.key_1, g.key_2, g.key_3) AS place
    FROM groups g
), people AS (
    SELECT count(*) AS all_groups, count(*) FILTER (WHERE elsewhere) AS other_groups
    FROM (
        SELECT v.visitor_id, bool_or(r.place <= $29 OR r.place > $29 + $30) AS elsewhere
        FROM visits v
        JOIN ranked r USING (key_1, key_2, key_3)
        GROUP BY v.visitor_id
    ) visitors
), parts AS (
    SELECT 'row' AS part, g.place, g.key_1, g.key_2, g.key_3, g.sessions, g.visitors, g.conversions, g.bounces, g.points,
           g.left_out, g.orders, g.revenue, g.gross, g.valued_orders, 1::bigint AS groups
    FROM ranked g
    WHERE g.place > $29 AND g.place <= $29 + $30
    UNION ALL
    SELECT 'other', NULL, NULL, NULL, NULL, sum(r.sessions), (SELECT other_groups FROM people),
           sum(r.conversions), sum(r.bounces), sum(r.points), sum(r.left_out), sum(r.orders), sum(r.revenue), sum(r.gross),
           sum(r.valued_orders), count(*)
    FROM ranked r
    WHERE r.place <= $29 OR r.place > $29 + $30
    UNION ALL
    SELECT 'total', NULL, NULL, NULL, NULL, sum(r.sessions), (SELECT all_groups FROM people),
           sum(r.conversions), sum(r.bounces), sum(r.points), sum(r.left_out), sum(r.orders), sum(r.revenue), sum(r.gross),
           sum(r.valued_orders), count(*)
    FROM ranked r
)
SELECT p.part, p.key_1, p.key_2, p.key_3,
       coalesce(p.sessions, 0)::bigint AS sessions, p.visitors, coalesce(p.conversions, 0)::bigint AS conversions,
       coalesce(p.bounces, 0)::bigint AS bounces, coalesce(p.points, 0)::bigint AS points,
       coalesce(p.left_out, 0)::bigint AS left_out, coalesce(p.orders, 0)::bigint AS orders,
       round(coalesce(p.revenue, 0), $24)::text AS revenue,
       round(p.gross / nullif(p.valued_orders, 0), $24)::text AS avg_order_value,
       p.groups
FROM parts p
ORDER BY CASE p.part WHEN 'row' THEN 1 WHEN 'other' THEN 2 ELSE 3 END, p.place
