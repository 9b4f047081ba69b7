-- Which orders are there, newest first?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- $27 text         LIKE pattern that the order's id or number must match, lower case, null = all
-- $28 timestamptz, $29 integer, $30 text   time, site id and order id of the last order already given, null = from the newest
-- $31 bigint       rows to give
-- Rows: columns of order_details; forgotten boolean (whoever placed it); source, medium, campaign, content, channel text (of
--       the touch with the greatest credit); credit bigint (millionths that pass the filters); revenue text in the report's
--       currency (null in another)
WITH chosen AS (
    SELECT o.site_id, o.order_id, sum(o.credit)::bigint AS credit, sum(o.credited_revenue) AS revenue,
           (array_agg(ARRAY[o.source, o.medium, o.campaign, o.content, o.channel] ORDER BY o.credit DESC, o."position"))[1:1]
               AS labels
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                   $21, $22, $23, $24, $25, $26) o
    WHERE o.credit > 0
    GROUP BY o.site_id, o.order_id
), page AS (
    SELECT c.*, p.placed_at, p.forgotten_at IS NOT NULL AS forgotten
    FROM chosen c
    JOIN orders p ON p.site_id = c.site_id AND p.order_id = c.order_id
    WHERE ($28::timestamptz IS NULL OR (p.placed_at, p.site_id, p.order_id) < ($28, $29::integer, $30::text))
      AND ($27::text IS NULL OR lower(concat_ws(E'\n', p.order_id, p.order_number)) LIKE $27)
    ORDER BY p.placed_at DESC, p.site_id DESC, p.order_id DESC
    LIMIT $31
)
SELECT d.*, g.forgotten, g.labels[1][1] AS source, g.labels[1][2] AS medium, g.labels[1][3] AS campaign,
       g.labels[1][4] AS content, g.labels[1][5] AS channel, g.credit, round(g.revenue, $24)::text AS credited_revenue
FROM page g
CROSS JOIN LATERAL (
    SELECT x.*
    FROM order_details x
    WHERE x.site_id = g.site_id AND x.order_id = g.order_id
    OFFSET 0
) d
ORDER BY d.placed_at DESC, d.site_id DESC, d.order_id DESC
