-- How do the groups of a dimension compare, and what is in all of them and in those that the limit cuts off?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- $27 text    dimension. Of what was tagged: 'source', 'campaign' (campaign, source, medium), 'content' (content,
--             campaign, source), 'channel'; orders are those credited to it. Of single sessions: 'device' (type, brand,
--             model), 'browser' (name, major version), 'os' (name, version), 'country' (code, name), 'region' (region,
--             country), 'city' (city, region, country), 'referrer' (host), 'landing' (path, host); orders are those of the
--             session that placed them
-- $28 text    column to sort by, $29 boolean least first
-- $30 bigint  rows to pass over, $31 bigint rows to give
-- $32, $33, $34 text[] key_1, key_2, key_3 of groups; of each bigint[] $35 visitors, $36 sessions, $37 conversions, $38 bounces,
-- $39 points
-- Rows: part 'row' in order, then 'other' (groups not given), then 'total'; key_1, key_2, key_3 text;
--       sessions, visitors, conversions, bounces, points, left_out bigint; orders (millionths) bigint;
--       revenue, avg_order_value text, decimal in the report's currency; groups bigint (in this part).
--       visitors of 'other' and 'total' are not told here: people of several groups count once.
WITH lines AS (
    SELECT e.key_1, e.key_2, e.key_3, e.sessions, e.visitors, e.conversions, e.bounces, e.points,
           0::bigint AS orders, 0::bigint AS left_out, 0::numeric AS revenue, 0::numeric AS gross,
           0::numeric AS valued_orders
    FROM unnest($32::text[], $33::text[], $34::text[], $35::bigint[], $36::bigint[], $37::bigint[], $38::bigint[], $39::bigint[])
         AS e(key_1, key_2, key_3, visitors, sessions, conversions, bounces, points)
    UNION ALL
    SELECT g.key_1, g.key_2, g.key_3, 0, 0, 0, 0, 0,
           o.credit, (NOT o.counted AND o."position" = 1)::integer, o.credited_revenue, o.credited_gross,
           CASE WHEN o.gross IS NOT NULL THEN o.credit * 0.000001 ELSE 0 END
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                       $21, $22, $23, $24, $25, $26) o
    CROSS JOIN LATERAL report_groups($27, o.source, o.medium, o.campaign, o.content, o.channel) g
    WHERE $27 IN ('source', 'campaign', 'content', 'channel')
    UNION ALL
    SELECT g.key_1, g.key_2, g.key_3, 0, 0, 0, 0, 0, k.orders, k.left_out, k.revenue, k.gross, k.valued_orders
    FROM (
        SELECT CASE WHEN $27 IN ('device', 'browser', 'os') THEN s.agent_id
                    WHEN $27 IN ('country', 'region', 'city') THEN s.place_id
                    WHEN $27 = 'referrer' THEN s.referrer_id
                    ELSE s.landing_page_id END AS label_id,
               sum(o.credit) AS orders, count(*) FILTER (WHERE NOT o.counted AND o."position" = 1) AS left_out,
               sum(o.credited_revenue) AS revenue, sum(o.credited_gross) AS gross,
               coalesce(sum(o.credit * 0.000001) FILTER (WHERE o.gross IS NOT NULL), 0) AS valued_orders
        FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                           $21, $22, $23, $24, $25, $26) o
        -- One by one, of its own month: a join would read the sessions of all months.
        LEFT JOIN LATERAL (
            SELECT x.agent_id, x.place_id, x.referrer_id, x.landing_page_id
            FROM session_facts x
            WHERE x.session_id = o.session_id AND x.session_hour = hour_of(o.session_id)
            OFFSET 0
        ) s ON true
        WHERE $27 NOT IN ('source', 'campaign', 'content', 'channel')
        GROUP BY 1
    ) k
    CROSS JOIN LATERAL session_groups($27, k.label_id, k.label_id, k.label_id, k.label_id) g
), groups AS (
    SELECT l.key_1, l.key_2, l.key_3, sum(l.sessions) AS sessions,
           coalesce(sum(l.visitors), 0)::bigint AS visitors, sum(l.conversions) AS conversions, sum(l.bounces) AS bounces,
           sum(l.points) AS points, sum(l.orders) AS orders, sum(l.left_out) AS left_out,
           coalesce(sum(l.revenue), 0) AS revenue, coalesce(sum(l.gross), 0) AS gross,
           sum(l.valued_orders) AS valued_orders
    FROM lines l
    GROUP BY l.key_1, l.key_2, l.key_3
), ranked AS (
    SELECT g.*,
           row_number() OVER (
               ORDER BY CASE WHEN $29 THEN 1 ELSE -1 END
                        * CASE $28 WHEN 'visitors' THEN g.visitors
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
    SELECT * FROM ranked WHERE place > $30 AND place <= $30 + $31
), parts AS (
    SELECT 'row' AS part, g.place, g.key_1, g.key_2, g.key_3, g.sessions, g.visitors, g.conversions, g.bounces, g.points,
           g.left_out, g.orders, g.revenue, g.gross, g.valued_orders, 1::bigint AS groups
    FROM given g
    UNION ALL
    SELECT 'other', NULL, NULL, NULL, NULL, sum(r.sessions), 0,
           sum(r.conversions), sum(r.bounces), sum(r.points), sum(r.left_out), sum(r.orders), sum(r.revenue), sum(r.gross),
           sum(r.valued_orders), count(*)
    FROM ranked r
    WHERE r.place <= $30 OR r.place > $30 + $31
    UNION ALL
    SELECT 'total', NULL, NULL, NULL, NULL, sum(r.sessions), 0,
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
