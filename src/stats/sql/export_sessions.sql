-- Which sessions does the window have, all of them, with what is known of each?
--
-- $1–$20   window and filters, as report_sessions() takes them
-- Rows by time: columns as exported
SELECT d.session_id, CASE WHEN d.identity <> 0 THEN d.visitor_id END AS visitor_id, d.site, d.session_number, d.first_seen,
       d.last_seen, d.page_views, d.actions, d.score, d.source, d.medium, d.campaign, d.content, d.term, d.channel,
       d.utm_source, d.utm_medium, d.utm_campaign, d.utm_content, d.utm_term, d.utm_id, d.click_ids, d.ip_address,
       d.country, d.country_name, d.region, d.city, d.device_type, d.os_name, d.os_version, d.browser_name,
       d.browser_version, d.referrer, d.landing_host, d.landing_page, d.order_count > 0 AS is_converted,
       CASE WHEN d.order_count > 0 THEN 'purchase' WHEN d.lead_at IS NOT NULL THEN 'lead' END AS conversion_type,
       d.converted_at
FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
-- OFFSET 0 reads the details as the rows go out.
CROSS JOIN LATERAL (
    SELECT x.*
    FROM session_details x
    WHERE x.session_id = s.session_id AND x.session_hour = s.session_hour AND x.visitor_id = s.visitor_id
    OFFSET 0
) d
ORDER BY s.started_at, s.session_id
