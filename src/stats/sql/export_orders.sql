-- Which orders does the window have, all of them?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- Rows by time: columns as exported; amounts in the order's own currency, revenue in the report's
SELECT coalesce(n.name, '(none)') AS site, p.order_id, p.order_number, p.placed_at, p.paid_at, p.delivered_at, p.currency,
       p.gross::text AS gross, p.paid::text AS paid, p.cancelled::text AS cancelled, p.refunded::text AS refunded, p.net::text AS net,
       CASE WHEN p.forgotten_at IS NULL THEN p.visitor_id END AS visitor_id, p.session_id, p.joined_by,
       c.labels[1][1] AS source, c.labels[1][2] AS medium, c.labels[1][3] AS campaign, c.labels[1][4] AS content,
       c.labels[1][5] AS channel, round(c.revenue, $24)::text AS revenue
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
LEFT JOIN sites n ON n.site_id = p.site_id
ORDER BY p.placed_at, p.site_id, p.order_id
