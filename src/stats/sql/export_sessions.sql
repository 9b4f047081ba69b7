-- Which sessions does the window have, all of them, with what is known of each?
--
-- $1–$20   window and filters, as report_sessions() takes them
-- Rows by start: columns as exported; first_seen in the beginning without a cookie, where it has one
--
-- Everything that is looked up for one session alone is behind an OFFSET 0: else the planner would look up the names for each
-- session anew, by reading them all.
SELECT d.session_id, CASE WHEN d.identity <> 0 THEN d.visitor_id END AS visitor_id, n.name AS site, d.session_number,
       d.began_at AS first_seen, d.last_seen, d.page_views, d.actions, d.points AS score, d.source, d.medium, d.campaign,
       d.content, d.term, d.channel, c.source AS utm_source, c.medium AS utm_medium, c.campaign AS utm_campaign,
       c.content AS utm_content, c.term AS utm_term, c.utm_id, d.click_ids, host(d.address) AS ip_address, p.country,
       p.country_name, p.region, p.city, d.device AS device_type, a.os_name, a.os_version, a.browser_name, a.browser_version,
       r.url AS referrer, g.host AS landing_host, g.path AS landing_page, d.order_count > 0 AS is_converted,
       CASE WHEN d.order_count > 0 THEN 'purchase' WHEN d.lead_at IS NOT NULL THEN 'lead' END AS conversion_type,
       CASE WHEN d.order_count > 0 THEN coalesce(d.placed_at, d.purchase_at) END AS converted_at
FROM (
    SELECT s.*, o.placed_at,
           CASE WHEN s.begun_by_touch_at IS NULL THEN t.click_ids ELSE begun_by(s.visitor_id, s.begun_by_touch_at) END AS click_ids
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    LEFT JOIN touches t
           ON t.visitor_id = s.visitor_id AND t.session_hour = s.session_hour AND t.session_id = s.session_id
          AND t.evidence = s.touch_evidence AND t.session_hour >= first_hour($1) AND t.session_hour < $2
    LEFT JOIN LATERAL (
        SELECT min(x.placed_at) AS placed_at
        FROM orders x
        WHERE x.session_id = s.session_id AND s.order_count > 0
    ) o ON true
    OFFSET 0
) d
LEFT JOIN sites n ON n.site_id = d.site_id
LEFT JOIN campaigns c ON c.campaign_id = d.campaign_id
LEFT JOIN agents a ON a.agent_id = d.agent_id
LEFT JOIN places p ON p.place_id = d.place_id
LEFT JOIN referrers r ON r.referrer_id = d.referrer_id
LEFT JOIN pages g ON g.page_id = d.landing_page_id
ORDER BY d.started_at, d.session_id
