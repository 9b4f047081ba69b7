-- From what can the people of each group of a dimension be estimated?
--
-- $1–$20   window and filters, as report_sums() takes them
-- $21 text dimension, as in breakdown.sql
-- Rows: key_1, key_2, key_3 text; sessions bigint; sketch bytea
SELECT g.key_1, g.key_2, g.key_3, sum(s.sessions)::bigint AS sessions, string_agg(s.sketch, '') AS sketch
FROM (
    SELECT r.campaign_id, sum(r.sessions) AS sessions, string_agg(r.visitors, '') AS sketch
    FROM report_sums($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) r
    GROUP BY r.campaign_id
) s
LEFT JOIN campaign_labels c ON c.campaign_id = s.campaign_id
CROSS JOIN LATERAL report_groups(
    $21::text, CASE WHEN s.campaign_id IS NULL THEN '(direct)' ELSE coalesce(c.source, '(none)') END,
    coalesce(c.medium, '(none)'), coalesce(c.campaign, '(none)'), coalesce(c.content, '(none)'),
            CASE WHEN s.campaign_id IS NULL THEN 'Direct' ELSE coalesce(c.channel, 'Unassigned') END) g
GROUP BY g.key_1, g.key_2, g.key_3
