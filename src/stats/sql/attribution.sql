-- What does each attribution model credit to each group of a dimension?
--
-- $1–$20   window and filters, $21, $23–$26 money, as report_orders() takes them; $22 text[] models
-- $27 text dimension, as in breakdown.sql: 'source', 'campaign', 'content', 'channel'
-- Rows: model, key_1, key_2, key_3 text; orders (millionths), left_out bigint; revenue text
SELECT m.model, g.key_1, g.key_2, g.key_3, g.orders, g.left_out, g.revenue
FROM unnest($22::text[]) AS m(model)
CROSS JOIN LATERAL (
    SELECT k.key_1, k.key_2, k.key_3, sum(o.credit)::bigint AS orders,
           count(*) FILTER (WHERE NOT o.counted AND o."position" = 1) AS left_out,
           round(coalesce(sum(o.credited_revenue), 0), $24)::text AS revenue
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                       $21, m.model, $23, $24, $25, $26) o
    CROSS JOIN LATERAL report_groups($27::text, o.source, o.medium, o.campaign, o.content, o.channel) k
    GROUP BY k.key_1, k.key_2, k.key_3
) g
