-- How many people does each bucket of the window have?
--
-- $1–$20   window and filters, as report_sessions() takes them
-- $21 timestamptz[]  edges of the buckets
-- Rows, of buckets with anybody: bucket integer from 1, visitors bigint
SELECT p.bucket, count(*) AS visitors
FROM (
    SELECT width_bucket(s.started_at, $21::timestamptz[]) AS bucket
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    GROUP BY 1, s.visitor_id
) p
GROUP BY p.bucket
