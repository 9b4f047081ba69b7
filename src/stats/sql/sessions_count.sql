-- In how many sessions is a text found? Counting stops at a bound, so that it stays quick.
--
-- $1–$20   window and filters, as report_sessions() takes them
-- $21 text    LIKE pattern that one of the session's texts must match
-- $22 bigint  where to stop
-- One row: sessions bigint
SELECT count(*) AS sessions
FROM (
    SELECT 1
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    LEFT JOIN pages g ON g.page_id = s.landing_page_id
    LEFT JOIN referrers r ON r.referrer_id = s.referrer_id
    LEFT JOIN agents a ON a.agent_id = s.agent_id
    LEFT JOIN places p ON p.place_id = s.place_id
    WHERE lower(concat_ws(E'\n', s.source, s.medium, s.campaign, s.content, s.term, g.path, r.url, p.city, p.region,
                          p.country_name, s.country, a.browser_name, a.os_name, a.device_brand, a.device_model,
                          host(s.address), s.visitor_id, s.session_id)) LIKE $21::text
    LIMIT $22
) found
