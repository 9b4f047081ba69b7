-- How many sessions came by each campaign, in a window whose sessions are not all kept?
--
-- $1–$20   window and filters, as report_sums() takes them
-- Rows: campaign_id, sessions bigint
SELECT s.campaign_id, sum(s.sessions)::bigint AS sessions
FROM report_sums($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
WHERE s.campaign_id IS NOT NULL
GROUP BY s.campaign_id
