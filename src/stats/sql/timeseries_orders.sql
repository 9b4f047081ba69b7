-- How many orders, and how much money, does each bucket of the window have?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- $27 timestamptz[]  edges of the buckets
-- Rows, of buckets with any: bucket integer from 1; orders (millionths), left_out bigint; revenue text, decimal in the
--          report's currency
--
-- By the time that the window is of: when the order was placed, or with date_basis 'session' when its session began. Where
-- there is no filter that touches or sessions must pass, credits are not looked at.
SELECT width_bucket(o.at, $27::timestamptz[])                     AS bucket,
       sum(o.credit)::bigint                                      AS orders,
       count(*) FILTER (WHERE NOT o.counted AND o."position" = 1) AS left_out,
       round(coalesce(sum(o.revenue), 0), $24)::text              AS revenue
FROM (
    SELECT CASE WHEN $21 = 'session' THEN s.started_at ELSE p.placed_at END AS at, r.credit, r."position", r.counted,
           r.credited_revenue AS revenue
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                       $21, $22, $23, $24, $25, $26) r
    JOIN orders p ON p.site_id = r.site_id AND p.order_id = r.order_id
    LEFT JOIN LATERAL (
        SELECT min(x.started_at) AS started_at
        FROM sessions x
        WHERE $21 = 'session' AND x.session_id = r.session_id
    ) s ON true
    WHERE $21 = 'session' OR $4 = 'only'
       OR num_nonnulls($5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) > 0
    UNION ALL
    SELECT a.placed_at, 1000000, 1, a.counted, a.revenue
    FROM report_amounts($1, $2, $3, $23, $24, $25, $26) a
    WHERE $21 <> 'session' AND $4 <> 'only'
      AND num_nonnulls($5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) = 0
) o
GROUP BY 1
