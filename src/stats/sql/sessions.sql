-- Which sessions are there, newest first?
--
-- $1–$20   window and filters, as report_sessions() takes them
-- $21 text         LIKE pattern that one of the session's texts must match, null = all
-- $22 timestamptz, $23 uuid   start and id of the last session already given, null = from the newest
-- $24 bigint       rows to give
-- Rows: session_id, session_hour, visitor_id
SELECT s.session_id, s.session_hour, s.visitor_id
FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
LEFT JOIN pages g ON g.page_id = s.landing_page_id
LEFT JOIN referrers r ON r.referrer_id = s.referrer_id
LEFT JOIN agents a ON a.agent_id = s.agent_id
LEFT JOIN places p ON p.place_id = s.place_id
WHERE ($22::timestamptz IS NULL OR (s.started_at, s.session_id) < ($22, $23))
  AND ($21::text IS NULL
       OR lower(concat_ws(E'\n', s.source, s.medium, s.campaign, s.content, s.term, g.path, r.url, p.city, p.region,
                          p.country_name, s.country, a.browser_name, a.os_name, a.device_brand, a.device_model,
                          host(s.address), s.visitor_id, s.session_id)) LIKE $21)
ORDER BY s.started_at DESC, s.session_id DESC
LIMIT $24
