-- How do the groups of a dimension compare, and what is in all of them and in those that the limit cuts off?
--
-- $1 text    column to sort by, $2 boolean least first
-- $3 bigint  rows to pass over, $4 bigint rows to give, $5 integer minor units of the report's currency
-- $6, $7, $8 text[] key_1, key_2, key_3 of groups; of each bigint[] $9 visitors, $10 sessions, $11 conversions, $12 bounces, $13 points
-- $14, $15, $16 text[] keys of groups with orders; of each bigint[] $17 orders, $18 those left out, $19 those whose value is known (orders
--            in millionths), numeric[] $20 revenue, $21 gross
-- Rows: part 'row' in order, then 'other' (groups not given), then 'total'; key_1, key_2, key_3 text;
--       sessions, visitors, conversions, bounces, points, left_out bigint; orders (millionths) bigint;
--       revenue, avg_order_value text, decimal in the report's currency; groups bigint (in this part).
--       visitors of 'other' and 'total' are not told here: people of several groups count once.
WITH lines AS (
    SELECT e.key_1, e.key_2, e.key_3, e.sessions, e.visitors, e.conversions, e.bounces, e.points,
           0::bigint AS orders, 0::bigint AS left_out, 0::numeric AS revenue, 0::numeric AS gross,
           0::numeric AS valued_orders
    FROM unnest($6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[])
         AS e(key_1, key_2, key_3, visitors, sessions, conversions, bounces, points)
    UNION ALL
    SELECT o.key_1, o.key_2, o.key_3, 0, 0, 0, 0, 0, o.orders, o.left_out, o.revenue, o.gross, o.valued_orders * 0.000001
    FROM unnest($14::text[], $15::text[], $16::text[], $17::bigint[], $18::bigint[], $19::bigint[], $20::numeric[], $21::numeric[])
         AS o(key_1, key_2, key_3, orders, left_out, valued_orders, revenue, gross)
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
               ORDER BY CASE WHEN $2 THEN 1 ELSE -1 END
                        * CASE $1 WHEN 'visitors' THEN g.visitors
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
    SELECT * FROM ranked WHERE place > $3 AND place <= $3 + $4
), parts AS (
    SELECT 'row' AS part, g.place, g.key_1, g.key_2, g.key_3, g.sessions, g.visitors, g.conversions, g.bounces, g.points,
           g.left_out, g.orders, g.revenue, g.gross, g.valued_orders, 1::bigint AS groups
    FROM given g
    UNION ALL
    SELECT 'other', NULL, NULL, NULL, NULL, sum(r.sessions), 0,
           sum(r.conversions), sum(r.bounces), sum(r.points), sum(r.left_out), sum(r.orders), sum(r.revenue), sum(r.gross),
           sum(r.valued_orders), count(*)
    FROM ranked r
    WHERE r.place <= $3 OR r.place > $3 + $4
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
       round(coalesce(p.revenue, 0), $5)::text AS revenue,
       round(p.gross / nullif(p.valued_orders, 0), $5)::text AS avg_order_value,
       p.groups
FROM parts p
ORDER BY CASE p.part WHEN 'row' THEN 1 WHEN 'other' THEN 2 ELSE 3 END, p.place
