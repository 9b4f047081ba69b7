-- How do the groups of a dimension compare, and what is in all of them and in those that the limit cuts off?
--
-- $1–$20   window and filters, $21–$25 money, as report_orders() takes them
-- $26 text    dimension: 'source', 'campaign' (campaign, source, medium), 'content' (content, campaign, source),
--             'channel'
-- $27 text    column to sort by, $28 boolean least first
-- $29 bigint  rows to pass over, $30 bigint rows to give
-- $31 boolean count visitors; else
-- $32, $33, $34 text[] key_1, key_2, key_3 of groups, $35 bigint[] how many visitors they have
-- Rows: part 'row' in order, then 'other' (groups not given), then 'total'; key_1, key_2, key_3 text;
--       sessions, visitors, conversions, bounces, points, left_out bigint; orders (millionths) bigint;
--       revenue, avg_order_value text, decimal in the report's currency; groups bigint (in this part).
--       visitors of 'other' and 'total' are 0 when they are not counted.
--
-- Sessions are summed by campaign id before any text is looked at. Visitors are counted by grouping, which PostgreSQL
-- hashes, where count(DISTINCT) would sort; nothing but their id goes along, to keep the hash small.
WITH sums AS MATERIALIZED (
    SELECT coalesce(s.campaign_id, 0) AS campaign_id, s.campaign_id IS NULL AS direct,
           sum(s.sessions) AS sessions, sum(s.conversions) AS conversions,
           sum(s.bounces) AS bounces, sum(s.points) AS points
    FROM report_sums($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    GROUP BY s.campaign_id
), labels AS MATERIALIZED (
    SELECT k.*, dense_rank() OVER (ORDER BY k.key_1, k.key_2, k.key_3) AS group_id
    FROM (
        SELECT v.campaign_id, v.direct, g.*
        FROM sums v
        LEFT JOIN campaign_labels c ON c.campaign_id = v.campaign_id AND NOT v.direct
        CROSS JOIN LATERAL report_groups(
            $26::text, CASE WHEN v.direct THEN '(direct)' ELSE coalesce(c.source, '(none)') END,
            coalesce(c.medium, '(none)'), coalesce(c.campaign, '(none)'), coalesce(c.content, '(none)'),
            CASE WHEN v.direct THEN 'Direct' ELSE coalesce(c.channel, 'Unassigned') END) g
    ) k
), pairs AS MATERIALIZED (
    SELECT l.group_id, s.visitor_id
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    JOIN labels l ON l.campaign_id = coalesce(s.campaign_id, 0) AND l.direct = (s.campaign_id IS NULL)
    WHERE $31::boolean
    GROUP BY l.group_id, s.visitor_id
), visitor_groups AS (
    SELECT p.group_id, count(*) AS visitors
    FROM pairs p
    GROUP BY p.group_id
    UNION ALL
    SELECT DISTINCT l.group_id, e.visitors
    FROM unnest($32::text[], $33::text[], $34::text[], $35::bigint[]) AS e(key_1, key_2, key_3, visitors)
    JOIN labels l USING (key_1, key_2, key_3)
    WHERE NOT $31
), visit_groups AS (
    SELECT l.group_id, l.key_1, l.key_2, l.key_3, min(p.visitors) AS visitors,
           sum(v.sessions)::bigint AS sessions, sum(v.conversions)::bigint AS conversions,
           sum(v.bounces)::bigint AS bounces, sum(v.points)::bigint AS points
    FROM sums v
    JOIN labels l ON l.campaign_id = v.campaign_id AND l.direct = v.direct
    LEFT JOIN visitor_groups p ON p.group_id = l.group_id
    GROUP BY l.group_id, l.key_1, l.key_2, l.key_3
), order_groups AS (
    SELECT g.key_1, g.key_2, g.key_3,
           sum(o.credit)::bigint AS orders,
           count(*) FILTER (WHERE NOT o.counted AND o."position" = 1) AS left_out,
           sum(o.credited_revenue) AS revenue,
           sum(o.credited_gross) AS gross,
           sum(o.credit) FILTER (WHERE o.gross IS NOT NULL)::numeric / 1000000 AS valued_orders
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                       $21, $22, $23, $24, $25) o
    CROSS JOIN LATERAL report_groups($26, o.source, o.medium, o.campaign, o.content, o.channel) g
    GROUP BY g.key_1, g.key_2, g.key_3
), groups AS (
    SELECT key_1, key_2, key_3, v.group_id,
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
), given AS (
    SELECT * FROM ranked WHERE place > $29 AND place <= $29 + $30
), people AS (
    SELECT count(*) AS all_groups, count(*) FILTER (WHERE elsewhere) AS other_groups
    FROM (
        SELECT p.visitor_id, bool_or(p.group_id NOT IN (SELECT g.group_id FROM given g WHERE g.group_id IS NOT NULL))
                                 AS elsewhere
        FROM pairs p
        GROUP BY p.visitor_id
    ) visitors
), parts AS (
    SELECT 'row' AS part, g.place, g.key_1, g.key_2, g.key_3, g.sessions, g.visitors, g.conversions, g.bounces, g.points,
           g.left_out, g.orders, g.revenue, g.gross, g.valued_orders, 1::bigint AS groups
    FROM given g
    UNION ALL
    SELECT 'other', NULL, NULL, NULL, NULL, sum(r.sessions),
           (SELECT other_groups FROM people),
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
