-- Which orders does the window have, all of them?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- Rows by time: columns as exported; amounts in the order's own currency, revenue in the report's
SELECT d.site, d.order_id, d.order_number, d.placed_at, d.paid_at, d.delivered_at, d.currency, d.gross, d.paid,
       d.cancelled, d.refunded, d.net, CASE WHEN p.forgotten_at IS NULL THEN d.visitor_id END AS visitor_id, d.session_id,
       d.joined_by, c.labels[1][1] AS source, c.labels[1][2] AS medium, c.labels[1][3] AS campaign,
       c.labels[1][4] AS content, c.labels[1][5] AS channel, round(c.revenue, $24)::text AS revenue
FROM (
    SELECT o.site_id, o.order_id, sum(o.credited_revenue) AS revenue,
           (array_agg(ARRAY[o.source, o.medium, o.campaign, o.content, o.channel] ORDER BY o.credit DESC, o."position"))[1:1]
               AS labels
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                   $21, $22, $23, $24, $25, $26) o
    WHERE o.credit > 0
    GROUP BY o.site_id, o.order_id
) c
JOIN orders p ON p.site_id = c.site_id AND p.order_id = c.order_id
CROSS JOIN LATERAL (
    SELECT x.*
    FROM order_details x
    WHERE x.site_id = c.site_id AND x.order_id = c.order_id
    OFFSET 0
) d
ORDER BY p.placed_at, p.site_id, p.order_id
