-- Of the visitors who first came in each period of the window: what did they order in each period since?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- $27 timestamptz[]  edges of the periods, from the first cohort's on
-- Rows: cohort integer (period of the first session, from 1), period integer (of the order); visitors (who ordered for the
--       first time), orders, left_out bigint; revenue text
WITH bought AS (
    -- A full join is hashed, however little the planner knows of the tables.
    SELECT m.visitor_id, m.cohort, a.placed_at, a.revenue, a.counted
    FROM (
        SELECT s.visitor_id, min(width_bucket(s.started_at, $27::timestamptz[])) AS cohort
        FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
        WHERE s.session_number = 1
        GROUP BY s.visitor_id
    ) m
    FULL JOIN (
        SELECT x.*
        FROM report_amounts($27[1], $27[cardinality($27)], $3, $23, $24, $25, $26) x
        WHERE x.visitor_id IS NOT NULL
          AND $21::text IS NOT NULL AND $22::text IS NOT NULL
    ) a ON a.visitor_id = m.visitor_id
    OFFSET 0
), turns AS (
    SELECT b.*, row_number() OVER (PARTITION BY b.visitor_id ORDER BY b.placed_at) AS turn
    FROM bought b
    WHERE b.visitor_id IS NOT NULL AND b.placed_at IS NOT NULL
)
SELECT t.cohort, greatest(width_bucket(t.placed_at, $27), t.cohort) AS period,
       count(*) FILTER (WHERE t.turn = 1) AS visitors, count(*) AS orders,
       count(*) FILTER (WHERE NOT t.counted) AS left_out,
       round(coalesce(sum(t.revenue), 0), $24)::text AS revenue
FROM turns t
GROUP BY 1, 2
