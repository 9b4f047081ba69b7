-- From what can the people of the window be estimated?
--
-- $1–$20   window and filters, as report_sums() takes them
-- One row: sessions bigint, sketch bytea (null without sessions)
SELECT coalesce(sum(s.sessions), 0)::bigint AS sessions, string_agg(s.visitors, '') AS sketch
FROM report_sums($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
