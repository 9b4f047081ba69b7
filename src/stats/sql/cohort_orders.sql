-- Of the visitors who first came in each period of the window: what did they order in each period since?
--
-- $1–$20   window and filters, $21–$25 money, as report_orders() takes them
-- $26 timestamptz[]  edges of the periods, from the first cohort's on
-- Rows: cohort integer (period of the first session, from 1), period integer (of the order); visitors (who ordered for the
--       first time), orders, left_out bigint; revenue text
WITH members AS MATERIALIZED (
    SELECT s.visitor_id, min(width_bucket(s.started_at, $26::timestamptz[])) AS cohort
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    WHERE s.session_number = 1
    GROUP BY s.visitor_id
), lines AS (
    SELECT m.visitor_id, m.cohort, NULL::timestamptz AS placed_at, NULL::numeric AS revenue, true AS counted
    FROM members m
    UNION ALL
    SELECT o.visitor_id, NULL, o.placed_at, c.revenue, c.counted
    FROM report_credits(NULL, 'infinity', $3, 'include', NULL, NULL, NULL, NULL, 'order', $22, $23, $24, $25) c
    JOIN orders o ON o.site_id = c.site_id AND o.order_id = c.order_id
    WHERE c."position" = 1 AND o.visitor_id IS NOT NULL AND o.placed_at >= $26[1]
      AND o.placed_at < $26[cardinality($26)] AND $21::text IS NOT NULL
), spread AS (
    SELECT l.placed_at, l.revenue, l.counted, min(l.cohort) OVER (PARTITION BY l.visitor_id) AS cohort,
           row_number() OVER (PARTITION BY l.visitor_id ORDER BY l.placed_at) AS turn
    FROM lines l
)
SELECT s.cohort, greatest(width_bucket(s.placed_at, $26), s.cohort) AS period,
       count(*) FILTER (WHERE s.turn = 1) AS visitors, count(*) AS orders,
       count(*) FILTER (WHERE NOT s.counted) AS left_out,
       round(coalesce(sum(s.revenue), 0), $24)::text AS revenue
FROM spread s
WHERE s.cohort IS NOT NULL AND s.placed_at IS NOT NULL
GROUP BY 1, 2
