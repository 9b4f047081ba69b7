-- Which sessions are there, newest first, with everything known of each?
--
-- $1–$18   window and filters, as report_sessions() takes them
-- $19 text         LIKE pattern that one of the session's texts must match, null = all
-- $20 timestamptz, $21 uuid   start and id of the last session already given, null = from the newest
-- $22 bigint       rows to give
-- Rows: see session_columns in src/stats/sessions.rs
WITH page AS (
    SELECT s.session_id, s.session_hour, s.visitor_id
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) s
    LEFT JOIN sessions x ON x.session_id = s.session_id AND x.session_hour = s.session_hour AND x.visitor_id = s.visitor_id
    LEFT JOIN pages g ON g.page_id = s.landing_page_id
    LEFT JOIN referrers r ON r.referrer_id = s.referrer_id
    LEFT JOIN agents a ON a.agent_id = s.agent_id
    LEFT JOIN places p ON p.place_id = s.place_id
    WHERE ($20::timestamptz IS NULL OR (s.started_at, s.session_id) < ($20, $21))
      AND ($19::text IS NULL
           OR lower(concat_ws(E'\n', s.source, s.medium, s.campaign, s.content, s.term, g.path, r.url, p.city, p.region,
                              p.country_name, s.country, a.browser_name, a.os_name, a.device_brand, a.device_model,
                              host(x.address), s.visitor_id, s.session_id)) LIKE $19)
    ORDER BY s.started_at DESC, s.session_id DESC
    LIMIT $22
)
SELECT d.*
FROM page
JOIN session_details d USING (session_id, session_hour, visitor_id)
ORDER BY d.first_seen DESC, d.session_id DESC
