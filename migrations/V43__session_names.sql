-- A page of sessions is of a few hours, and is not looked for in every month. What a session has in other tables of months was joined
-- to it within session_texts, by its hour: the planner weighed every month of them before it had an hour. Whoever names sessions reads
-- session_names, and joins the two with the hours named.

CREATE VIEW session_names AS
SELECT s.session_id,
       s.session_hour,
       s.visitor_id,
       n.name                                  AS site,
       s.identity,
       s.session_number,
       s.started_at                            AS first_seen,
       s.last_seen,
       s.page_views + coalesce((s.landing).page_views, 0) AS page_views,
       s.actions + coalesce((s.landing).actions, 0) AS actions,
       s.score + s.order_points + coalesce((s.landing).points, 0) AS score,
       s.bot_score,
       s.bot_reasons,
       CASE WHEN coalesce((s.landing).campaign_id, s.campaign_id) IS NULL THEN '(direct)' ELSE coalesce(l.source, '(none)') END AS source,
       coalesce(l.medium, '(none)')            AS medium,
       coalesce(l.campaign, '(none)')          AS campaign,
       coalesce(l.content, '(none)')           AS content,
       coalesce(l.term, '(none)')              AS term,
       c.source                                AS utm_source,
       c.medium                                AS utm_medium,
       c.campaign                              AS utm_campaign,
       c.content                               AS utm_content,
       c.term                                  AS utm_term,
       c.utm_id,
       c.parameters,
       c.inferred,
       coalesce((s.landing).touch_at, s.touch_at) AS touch_at,
       CASE WHEN (s.landing).touch_at IS NULL THEN s.touch_evidence END AS touch_evidence,
       host(s.address)                         AS ip_address,
       p.country,
       p.country_name,
       p.region,
       p.city,
       p.timezone,
       coalesce(a.device_type, 'unknown')      AS device_type,
       a.device_brand,
       a.device_model,
       a.os_name,
       a.os_version,
       a.browser_name,
       a.browser_version,
       a.user_agent,
       r.url                                   AS referrer,
       g.host                                  AS landing_host,
       g.path                                  AS landing_page,
       least(s.registration_at, (s.landing).registration_at) AS registration_at,
       s.order_count + coalesce((s.landing).order_count, 0) AS order_count,
       least(s.lead_at, (s.landing).lead_at)   AS lead_at,
       CASE WHEN s.order_count + coalesce((s.landing).order_count, 0) > 0 THEN coalesce(o.placed_at, s.purchase_at) END AS converted_at,
       CASE WHEN coalesce((s.landing).campaign_id, s.campaign_id) IS NULL THEN 'Direct' ELSE coalesce(l.channel, 'Unassigned') END AS channel,
       s.behaviour_score,
       s.behaviour_reasons,
       s.excluded_by IS NOT NULL               AS excluded,
       s.bot_rules,
       s.behaviour_rules,
       greatest(s.bot_score, s.behaviour_score, (s.landing).bot_score) >= 50 AS bot,
       coalesce((s.landing).started_at, s.started_at) AS began_at,
       s.continued,
       (s.landing).started_at IS NOT NULL      AS begun,
       (s.landing).touch_at                    AS begun_by_touch_at
FROM sessions s
LEFT JOIN sites n ON n.site_id = s.site_id
LEFT JOIN campaigns c ON c.campaign_id = coalesce((s.landing).campaign_id, s.campaign_id)
LEFT JOIN campaign_labels l ON l.campaign_id = coalesce((s.landing).campaign_id, s.campaign_id)
LEFT JOIN agents a ON a.agent_id = s.agent_id
LEFT JOIN places p ON p.place_id = s.place_id
LEFT JOIN referrers r
       ON r.referrer_id = CASE WHEN (s.landing).campaign_id IS NULL THEN s.referrer_id ELSE (s.landing).referrer_id END
LEFT JOIN pages g ON g.page_id = coalesce((s.landing).landing_page_id, s.landing_page_id)
LEFT JOIN LATERAL (
    SELECT min(x.placed_at) AS placed_at
    FROM orders x
    WHERE x.session_id = s.session_id AND s.order_count > 0
) o ON true;
COMMENT ON VIEW session_names IS 'What is known of a session, but for its click ids and cookies. utm_…: as seen; source … term: labels.';

CREATE OR REPLACE VIEW session_texts AS
SELECT x.session_id, x.session_hour, x.visitor_id, x.site, x.identity, x.session_number, x.first_seen, x.last_seen, x.page_views,
       x.actions, x.score, x.bot_score, x.bot_reasons, x.source, x.medium, x.campaign, x.content, x.term, x.utm_source,
       x.utm_medium, x.utm_campaign, x.utm_content, x.utm_term, x.utm_id, x.parameters, x.inferred, x.touch_at,
       t.click_ids AS own_click_ids, k.cookies, x.ip_address, x.country, x.country_name, x.region, x.city, x.timezone,
       x.device_type, x.device_brand, x.device_model, x.os_name, x.os_version, x.browser_name, x.browser_version, x.user_agent,
       x.referrer, x.landing_host, x.landing_page, x.registration_at, x.order_count, x.lead_at, x.converted_at, x.channel,
       x.behaviour_score, x.behaviour_reasons, x.excluded, x.bot_rules, x.behaviour_rules, x.bot, x.began_at, x.continued, x.begun,
       x.begun_by_touch_at
FROM session_names x
LEFT JOIN touches t
       ON t.session_id = x.session_id AND t.session_hour = x.session_hour AND t.visitor_id = x.visitor_id
      AND t.evidence = x.touch_evidence
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(y.name, y.value) AS cookies
    FROM session_cookies y
    WHERE y.session_id = x.session_id AND y.session_hour = x.session_hour AND y.visitor_id = x.visitor_id
) k ON true;
