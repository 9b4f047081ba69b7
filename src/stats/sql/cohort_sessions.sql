-- Of the visitors who first came in each period of the window: how many had a session in each period since?
--
-- $1–$20   window and filters, as report_sessions() takes them
-- $21 timestamptz[]  edges of the periods, from the first cohort's on
-- Rows: cohort integer (period of the first session, from 1), period integer (of a session), visitors bigint
--
-- Filters choose members; what they did since counts whatever brought them. Without a join, which a planner that knows
-- little would make quadratic: a visitor's lines stand together, and the earliest cohort holds for all of them.
WITH lines AS (
    SELECT s.visitor_id, width_bucket(s.started_at, $21::timestamptz[]) AS cohort, NULL::integer AS period
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    WHERE s.session_number = 1
    UNION ALL
    SELECT s.visitor_id, NULL, width_bucket(s.started_at, $21)
    FROM report_sessions($21[1], $21[cardinality($21)], $3, $4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                         NULL, NULL, NULL, NULL, NULL, NULL) s
), spread AS (
    SELECT l.visitor_id, l.period, min(min(l.cohort)) OVER (PARTITION BY l.visitor_id) AS cohort
    FROM lines l
    GROUP BY l.visitor_id, l.period
)
SELECT s.cohort, s.period, count(*) AS visitors
FROM spread s
WHERE s.cohort IS NOT NULL AND s.period >= s.cohort
GROUP BY s.cohort, s.period
