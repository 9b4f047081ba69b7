-- By which sequences of touches did orders come, which groups of a dimension were on the way of how many, and how long was it?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them; the model is one that credits every touch
-- $27 text    dimension, as in attribution.sql
-- $28 bigint  paths to give, those of the most orders
-- Rows: part 'path' in order (path text[], orders bigint, revenue text), 'assisted' (path: one group's keys; orders that it
--       was on the way of, and another one ended), 'whole' (orders with a known way, median_touches, median_days)
WITH ways AS MATERIALIZED (
    SELECT o.site_id, o.order_id, o.credit, o.credited_revenue,
           ARRAY[k.key_1, k.key_2, k.key_3] AS keys, o."position",
           first_value(ARRAY[k.key_1, k.key_2, k.key_3])
               OVER (PARTITION BY o.site_id, o.order_id ORDER BY o."position" DESC) AS last_keys
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                   $21, $22, $23, $24, $25, $26) o
    CROSS JOIN LATERAL report_groups($27::text, o.source, o.medium, o.campaign, o.content, o.channel) k
), orders_ways AS MATERIALIZED (
    SELECT w.site_id, w.order_id, array_agg(array_to_string(array_remove(w.keys, ''), ' / ') ORDER BY w."position") AS path,
           sum(w.credited_revenue) AS revenue, count(*) AS touches
    FROM ways w
    GROUP BY w.site_id, w.order_id
), times AS (
    SELECT p.placed_at, min(c.touch_at) AS first_at
    FROM orders_ways w
    JOIN orders p ON p.site_id = w.site_id AND p.order_id = w.order_id
    JOIN order_credits c ON c.site_id = w.site_id AND c.order_id = w.order_id AND c.model = $22
    GROUP BY p.site_id, p.order_id, p.placed_at
), paths AS (
    SELECT w.path, count(*) AS orders, coalesce(sum(w.revenue), 0) AS revenue
    FROM orders_ways w
    GROUP BY w.path
    ORDER BY count(*) DESC, coalesce(sum(w.revenue), 0) DESC, w.path
    LIMIT $28::bigint
), assisted AS (
    SELECT w.keys, count(DISTINCT (w.site_id, w.order_id)) AS orders
    FROM ways w
    WHERE w.keys <> w.last_keys
    GROUP BY w.keys
)
SELECT 'path' AS part, p.path, p.orders, round(p.revenue, $24)::text AS revenue,
       NULL::double precision AS median_touches, NULL::double precision AS median_days
FROM paths p
UNION ALL
SELECT 'assisted', a.keys, a.orders, NULL, NULL, NULL
FROM assisted a
UNION ALL
SELECT 'whole', NULL, (SELECT count(*) FROM orders_ways), NULL,
       (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY w.touches) FROM orders_ways w),
       (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM t.placed_at - t.first_at)::double precision / 86400)
        FROM times t WHERE t.first_at IS NOT NULL)
