-- How many orders, and how much money, does the window have?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- One row: total_orders, paid_orders (millionths), left_out (orders in another currency) bigint;
--          gross, paid, refunds, revenue, avg_order_value text, decimal in the report's currency
--
-- An order counts by the credit of its touches that pass the filters: once, when all of them do. Where there is no filter that
-- touches or sessions must pass, credits are not looked at.
SELECT coalesce(sum(o.credit), 0)::bigint                               AS total_orders,
       coalesce(sum(o.credit) FILTER (WHERE o.is_paid), 0)::bigint     AS paid_orders,
       count(*) FILTER (WHERE NOT o.counted AND o."position" = 1)       AS left_out,
       round(coalesce(sum(o.credited_gross), 0), $24)::text             AS gross,
       round(coalesce(sum(o.credited_paid), 0), $24)::text AS paid,
       round(coalesce(sum(o.credited_refunded), 0), $24)::text AS refunds,
       round(coalesce(sum(o.credited_revenue), 0), $24)::text           AS revenue,
       round(sum(o.credited_gross) / nullif(sum(o.credit) FILTER (WHERE o.gross IS NOT NULL) * 0.000001, 0), $24)::text
                                                                        AS avg_order_value
FROM (
    SELECT r.credit, r."position", r.is_paid, r.counted, r.gross, r.credited_gross, r.credited_paid, r.credited_refunded,
           r.credited_revenue
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                       $21, $22, $23, $24, $25, $26) r
    WHERE $21 = 'session' OR $4 = 'only'
       OR num_nonnulls($5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) > 0
    UNION ALL
    SELECT 1000000, 1, a.is_paid, a.counted, a.gross, a.gross, a.paid, a.refunded, a.revenue
    FROM report_amounts($1, $2, $3, $23, $24, $25, $26) a
    WHERE $21 <> 'session' AND $4 <> 'only'
      AND num_nonnulls($5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) = 0
) o
