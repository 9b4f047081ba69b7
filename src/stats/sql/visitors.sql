-- How many people does the window have?
--
-- $1–$20   window and filters, as report_sessions() takes them
-- One row: visitors bigint
--
-- Counted by grouping, which PostgreSQL hashes, where count(DISTINCT) would sort.
SELECT count(*) AS visitors
FROM (
    SELECT
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    GROUP BY s.visitor_id
) people
