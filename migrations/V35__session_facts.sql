-- What is looked up session by session, or for one session, is asked of fewer tables and months: exports take what they say of a
-- session from session_facts itself, its actions and by which evidence it came, its beginning's first; touches say their hour.

CREATE OR REPLACE VIEW session_facts AS
SELECT s.session_id,
       s.session_hour,
       s.visitor_id,
       s.site_id,
       s.started_at,
       s.last_seen,
       s.session_number,
       s.page_views + coalesce((s.landing).page_views, 0) AS page_views,
       least(s.lead_at, (s.landing).lead_at)  AS lead_at,
       least(s.registration_at, (s.landing).registration_at) AS registration_at,
       s.order_count + coalesce((s.landing).order_count, 0) AS order_count,
       s.score + s.order_points + coalesce((s.landing).points, 0) AS points,
       greatest(s.bot_score, s.behaviour_score, (s.landing).bot_score) >= 50 AS bot,
       s.page_views + coalesce((s.landing).page_views, 0) = 1 AND s.actions + coalesce((s.landing).actions, 0) = 0 AS bounced,
       s.order_count + coalesce((s.landing).order_count, 0) > 0 AS converted,
       CASE WHEN coalesce((s.landing).campaign_id, s.campaign_id) IS NULL THEN '(direct)'
            ELSE coalesce(c.source, '(none)') END AS source,
       coalesce(c.medium, '(none)')           AS medium,
       coalesce(c.campaign, '(none)')         AS campaign,
       coalesce(c.content, '(none)')          AS content,
       coalesce(c.term, '(none)')             AS term,
       coalesce(a.device_type, 'unknown')     AS device,
       coalesce(lower(p.country), '(none)')   AS country,
       coalesce((s.landing).campaign_id, s.campaign_id) AS campaign_id,
       CASE WHEN (s.landing).campaign_id IS NULL THEN s.referrer_id ELSE (s.landing).referrer_id END AS referrer_id,
       coalesce((s.landing).landing_page_id, s.landing_page_id) AS landing_page_id,
       s.agent_id,
       s.place_id,
       s.address,
       CASE WHEN coalesce((s.landing).campaign_id, s.campaign_id) IS NULL THEN 'Direct'
            ELSE coalesce(c.channel, 'Unassigned') END AS channel,
       s.excluded_by IS NOT NULL OR s.continued AS excluded,
       coalesce((s.landing).started_at, s.started_at) AS began_at,
       s.continued,
       s.identity,
       s.excluded_by,
       -- Of the session itself, without its cookieless beginning.
       s.product_view_at,
       s.add_to_cart_at,
       s.initiate_checkout_at,
       s.purchase_at,
       s.actions + coalesce((s.landing).actions, 0) AS actions,
       CASE WHEN (s.landing).touch_at IS NULL THEN s.touch_evidence END AS touch_evidence,
       (s.landing).touch_at AS begun_by_touch_at
FROM sessions s
LEFT JOIN campaign_labels c ON c.campaign_id = coalesce((s.landing).campaign_id, s.campaign_id)
LEFT JOIN agents a ON a.agent_id = s.agent_id
LEFT JOIN places p ON p.place_id = s.place_id;

CREATE OR REPLACE VIEW touch_details AS
SELECT t.session_id,
       t.visitor_id,
       t.evidence,
       t.at,
       t.status,
       t.flags,
       t.click_ids,
       c.source AS utm_source,
       c.medium AS utm_medium,
       c.campaign AS utm_campaign,
       c.content AS utm_content,
       c.term AS utm_term,
       c.utm_id,
       c.parameters,
       c.inferred,
       r.url  AS referrer,
       g.host AS landing_host,
       g.path AS landing_page,
       t.session_hour
FROM touches t
LEFT JOIN campaigns c ON c.campaign_id = t.campaign_id
LEFT JOIN referrers r ON r.referrer_id = t.referrer_id
LEFT JOIN pages g ON g.page_id = t.page_id;
