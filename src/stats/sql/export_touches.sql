-- By what did the sessions of the window come, every piece of evidence of each?
--
-- $1–$20   window and filters, as report_sessions() takes them
-- Rows, in no order: columns as exported
--
-- What is looked up for one session alone is behind an OFFSET 0: else the planner would look up the names for each touch anew, by
-- reading them all.
SELECT t.at, t.session_id, t.visitor_id, coalesce(c.source, '(none)') AS source, coalesce(c.medium, '(none)') AS medium,
       coalesce(c.campaign, '(none)') AS campaign, coalesce(c.content, '(none)') AS content, coalesce(c.term, '(none)') AS term,
       coalesce(c.channel, 'Unassigned') AS channel, t.click_ids, r.url AS referrer, g.host AS landing_host,
       g.path AS landing_page, t.status
FROM (
    SELECT x.at, s.session_id, CASE WHEN s.identity <> 0 THEN s.visitor_id END AS visitor_id, x.campaign_id, x.referrer_id,
           x.page_id, x.click_ids, x.status
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    CROSS JOIN LATERAL (
        SELECT x.*
        FROM touches x
        WHERE x.session_id = s.session_id AND x.session_hour = s.session_hour AND x.visitor_id = s.visitor_id
          AND x.session_hour >= first_hour($1) AND x.session_hour < $2
        OFFSET 0
    ) x
    OFFSET 0
) t
LEFT JOIN campaign_labels c ON c.campaign_id = t.campaign_id
LEFT JOIN referrers r ON r.referrer_id = t.referrer_id
LEFT JOIN pages g ON g.page_id = t.page_id
