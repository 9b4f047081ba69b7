-- How do the groups of a dimension compare, and what is in all of them and in those that the limit cuts off?
--
-- $1–$18   window and filters, $19–$23 money, as report_orders() takes them
-- $24 text    dimension: 'source', 'campaign' (campaign, source, medium), 'content' (content, campaign, source)
-- $25 text    column to sort by, $26 boolean least first
-- $27 bigint  rows to pass over, $28 bigint rows to give
-- Rows: part 'row' in order, then 'other' (groups not given), then 'total'; key_1, key_2, key_3 text;
--       sessions, visitors, conversions, bounces, points, left_out bigint; orders (millionths) bigint;
--       revenue, avg_order_value text, decimal in the report's currency; groups bigint (in this part)
WITH visits AS MATERIALIZED (
    SELECT CASE $24 WHEN 'campaign' THEN s.campaign WHEN 'content' THEN s.content ELSE s.source END AS key_1,
           CASE $24 WHEN 'campaign' THEN s.source WHEN 'content' THEN s.campaign ELSE '' END AS key_2,
           CASE $24 WHEN 'campaign' THEN s.medium WHEN 'content' THEN s.source ELSE '' END AS key_3,
           s.visitor_id, s.converted, s.bounced, s.points
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) s
), visit_groups AS (
    SELECT key_1, key_2, key_3,
           count(*) AS sessions, count(DISTINCT visitor_id) AS visitors, count(*) FILTER (WHERE converted) AS conversions,
           count(*) FILTER (WHERE bounced) AS bounces, sum(points)::bigint AS points
    FROM visits
    GROUP BY key_1, key_2, key_3
), order_groups AS (
    SELECT CASE $24 WHEN 'campaign' THEN o.campaign WHEN 'content' THEN o.content ELSE o.source END AS key_1,
           CASE $24 WHEN 'campaign' THEN o.source WHEN 'content' THEN o.campaign ELSE '' END AS key_2,
           CASE $24 WHEN 'campaign' THEN o.medium WHEN 'content' THEN o.source ELSE '' END AS key_3,
           sum(o.credit)::bigint AS orders,
           count(*) FILTER (WHERE NOT o.counted AND o."position" = 1) AS left_out,
           sum(o.credited_revenue) AS revenue,
           sum(o.credited_gross) AS gross,
           sum(o.credit) FILTER (WHERE o.gross IS NOT NULL)::numeric / 1000000 AS valued_orders
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                       $19, $20, $21, $22, $23) o
    GROUP BY 1, 2, 3
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
               ORDER BY CASE WHEN $26 THEN 1 ELSE -1 END
                        * CASE $25 WHEN 'visitors' THEN g.visitors
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
), given AS (
    SELECT * FROM ranked WHERE place > $27 AND place <= $27 + $28
), parts AS (
    SELECT 'row' AS part, g.place, g.key_1, g.key_2, g.key_3, g.sessions, g.visitors, g.conversions, g.bounces, g.points,
           g.left_out, g.orders, g.revenue, g.gross, g.valued_orders, 1::bigint AS groups
    FROM given g
    UNION ALL
    SELECT 'other', NULL, NULL, NULL, NULL, sum(r.sessions),
           (SELECT count(DISTINCT v.visitor_id) FROM visits v
            WHERE NOT EXISTS (SELECT 1 FROM given g
                              WHERE g.key_1 = v.key_1 AND g.key_2 = v.key_2 AND g.key_3 = v.key_3)),
           sum(r.conversions), sum(r.bounces), sum(r.points), sum(r.left_out), sum(r.orders), sum(r.revenue), sum(r.gross),
           sum(r.valued_orders), count(*)
    FROM ranked r
    WHERE r.place <= $27 OR r.place > $27 + $28
    UNION ALL
    SELECT 'total', NULL, NULL, NULL, NULL, sum(r.sessions), (SELECT count(DISTINCT v.visitor_id) FROM visits v),
           sum(r.conversions), sum(r.bounces), sum(r.points), sum(r.left_out), sum(r.orders), sum(r.revenue), sum(r.gross),
           sum(r.valued_orders), count(*)
    FROM ranked r
)
SELECT p.part, p.key_1, p.key_2, p.key_3,
       coalesce(p.sessions, 0)::bigint AS sessions, p.visitors, coalesce(p.conversions, 0)::bigint AS conversions,
       coalesce(p.bounces, 0)::bigint AS bounces, coalesce(p.points, 0)::bigint AS points,
       coalesce(p.left_out, 0)::bigint AS left_out, coalesce(p.orders, 0)::bigint AS orders,
       round(coalesce(p.revenue, 0), $22)::text AS revenue,
       round(p.gross / nullif(p.valued_orders, 0), $22)::text AS avg_order_value,
       p.groups
FROM parts p
ORDER BY CASE p.part WHEN 'row' THEN 1 WHEN 'other' THEN 2 ELSE 3 END, p.place
