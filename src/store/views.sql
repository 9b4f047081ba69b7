-- What programs that draw charts (Metabase, Grafana, Power BI) may read: views of the schema bi, by their own names, so
-- that tables can change below them. They are made again by every `migrate --analyst`; columns are only added, at the end.
-- Sessions that reports leave out are left out here. Run by the owner of the tables, who may make schemas or has made bi.
DO $$
BEGIN
    IF to_regnamespace('bi') IS NULL THEN
        CREATE SCHEMA bi;
    END IF;
END
$$;
COMMENT ON SCHEMA bi IS 'utm-dispatcher: views to read, version 1.';

CREATE OR REPLACE VIEW bi.sessions AS
SELECT s.session_id,
       CASE WHEN s.identity <> 0 THEN s.visitor_id END AS visitor_id,
       coalesce(n.name, '(none)') AS site,
       s.session_hour, s.started_at, s.last_seen,
       extract(epoch FROM s.last_seen - s.started_at)::double precision AS seconds,
       s.session_number, s.page_views, s.bounced, s.bot, s.converted, s.order_count, s.lead_at, s.registration_at, s.points,
       s.source, s.medium, s.campaign, s.content, s.term, s.channel,
       r.host AS referrer_host, g.host AS landing_host, g.path AS landing_page,
       s.device AS device_type, a.device_brand, a.device_model, a.browser_name, a.browser_version, a.os_name, a.os_version,
       p.country, p.country_name, p.region, p.city
FROM session_facts s
LEFT JOIN sites n ON n.site_id = s.site_id
LEFT JOIN referrers r ON r.referrer_id = s.referrer_id
LEFT JOIN pages g ON g.page_id = s.landing_page_id
LEFT JOIN agents a ON a.agent_id = s.agent_id
LEFT JOIN places p ON p.place_id = s.place_id
WHERE NOT s.excluded;
COMMENT ON VIEW bi.sessions IS 'One row a session, bots (bot) included. A condition on session_hour, the hour (of UTC) it began in, keeps the months that are not asked for from being read.';

CREATE OR REPLACE VIEW bi.actions AS
SELECT e.at, coalesce(k.name, '(none)') AS type, coalesce(l.session_id, e.session_id) AS session_id,
       CASE WHEN s.identity <> 0 THEN coalesce(l.visitor_id, e.visitor_id) END AS visitor_id,
       coalesce(n.name, '(none)') AS site,
       greatest(s.bot_score, s.behaviour_score, (s.landing).bot_score) >= 50 AS bot,
       g.host, g.path, d.product_id, d.name AS product_name, e.value, e.currency, e.order_id, e.points::integer AS points,
       e.status::integer AS status, e.properties
FROM events e
JOIN sessions s ON s.session_id = e.session_id AND s.visitor_id = e.visitor_id AND s.excluded_by IS NULL
LEFT JOIN session_links l ON s.continued AND l.cookieless_id = s.visitor_id AND l.cookieless_session_id = s.session_id
LEFT JOIN action_kinds k ON k.kind_id = e.kind_id
LEFT JOIN sites n ON n.site_id = e.site_id
LEFT JOIN pages g ON g.page_id = e.page_id
LEFT JOIN products d ON d.product_key = e.product_key;
COMMENT ON VIEW bi.actions IS 'One row an action, page views included. The session of what a visitor did before the cookie is the one that reports tell.';

CREATE OR REPLACE VIEW bi.touches AS
SELECT t.at, t.session_id, CASE WHEN s.identity <> 0 THEN t.visitor_id END AS visitor_id,
       coalesce(n.name, '(none)') AS site,
       greatest(s.bot_score, s.behaviour_score, (s.landing).bot_score) >= 50 AS bot,
       coalesce(c.source, '(none)') AS source, coalesce(c.medium, '(none)') AS medium, coalesce(c.campaign, '(none)') AS campaign,
       coalesce(c.content, '(none)') AS content, coalesce(c.term, '(none)') AS term,
       coalesce(c.channel, 'Unassigned') AS channel, t.click_ids, r.url AS referrer, g.host AS landing_host,
       g.path AS landing_page, t.status::integer AS status
FROM touches t
JOIN sessions s ON s.session_hour = t.session_hour AND s.session_id = t.session_id AND s.visitor_id = t.visitor_id
                AND s.excluded_by IS NULL
LEFT JOIN sites n ON n.site_id = t.site_id
LEFT JOIN campaign_labels c ON c.campaign_id = t.campaign_id
LEFT JOIN referrers r ON r.referrer_id = t.referrer_id
LEFT JOIN pages g ON g.page_id = t.page_id;
COMMENT ON VIEW bi.touches IS 'One row for each piece of evidence by which a session came: parameters, click ids, referrer.';

CREATE OR REPLACE VIEW bi.credits AS
SELECT coalesce(n.name, '(none)') AS site, k.order_id, k.model, k.position::integer AS position, k.session_id, k.touch_at,
       k.credit / 1000000.0 AS credit,
       CASE WHEN k.campaign_id IS NULL THEN '(direct)' ELSE coalesce(c.source, '(none)') END AS source,
       coalesce(c.medium, '(none)') AS medium, coalesce(c.campaign, '(none)') AS campaign,
       coalesce(c.content, '(none)') AS content, coalesce(c.term, '(none)') AS term,
       CASE WHEN k.campaign_id IS NULL THEN 'Direct' ELSE coalesce(c.channel, 'Unassigned') END AS channel
FROM order_credits k
LEFT JOIN sites n ON n.site_id = k.site_id
LEFT JOIN campaign_labels c ON c.campaign_id = k.campaign_id;
COMMENT ON VIEW bi.credits IS 'What each attribution model (model) credits of an order, as parts of 1: those of an order under a model add up to 1. Orders of nobody known have none.';

CREATE OR REPLACE VIEW bi.orders AS
SELECT coalesce(n.name, '(none)') AS site, o.order_id, o.order_number, o.placed_at, o.paid_at, o.delivered_at, o.currency,
       o.gross, o.paid, o.cancelled, o.refunded, o.net,
       CASE WHEN o.forgotten_at IS NULL THEN o.visitor_id END AS visitor_id,
       CASE WHEN o.forgotten_at IS NULL THEN o.session_id END AS session_id,
       o.joined_by, o.points,
       CASE WHEN k.campaign_id IS NOT NULL THEN coalesce(c.source, '(none)')
            WHEN k.order_id IS NOT NULL OR o.visitor_id IS NOT NULL THEN '(direct)'
            ELSE '(not tracked)' END AS source,
       coalesce(c.medium, '(none)') AS medium, coalesce(c.campaign, '(none)') AS campaign,
       coalesce(c.content, '(none)') AS content, coalesce(c.term, '(none)') AS term,
       CASE WHEN k.campaign_id IS NOT NULL THEN coalesce(c.channel, 'Unassigned')
            WHEN k.order_id IS NOT NULL OR o.visitor_id IS NOT NULL THEN 'Direct'
            ELSE '(not tracked)' END AS channel
FROM orders o
LEFT JOIN sites n ON n.site_id = o.site_id
LEFT JOIN order_credits k ON k.site_id = o.site_id AND k.order_id = o.order_id AND k.model = 'last_non_direct'
LEFT JOIN campaign_labels c ON c.campaign_id = k.campaign_id;
COMMENT ON VIEW bi.orders IS 'One row an order, amounts in its own currency; source to channel by the model last_non_direct, of the other models see bi.credits.';

CREATE OR REPLACE VIEW bi.daily AS
SELECT coalesce(n.name, '(none)') AS site, (s.started_at AT TIME ZONE 'UTC')::date AS day,
       s.source, s.medium, s.campaign, s.channel, s.bot,
       count(*) AS sessions,
       count(*) FILTER (WHERE s.session_number = 1) AS first_visits,
       count(*) FILTER (WHERE s.bounced) AS bounces,
       count(*) FILTER (WHERE s.converted) AS conversions,
       count(*) FILTER (WHERE s.lead_at IS NOT NULL) AS lead_sessions,
       count(*) FILTER (WHERE s.registration_at IS NOT NULL) AS registrations,
       sum(s.page_views)::bigint AS page_views,
       sum(s.points)::bigint AS points
FROM session_facts s
LEFT JOIN sites n ON n.site_id = s.site_id
WHERE NOT s.excluded
GROUP BY 1, 2, 3, 4, 5, 6, 7;
COMMENT ON VIEW bi.daily IS 'Sessions by their days of UTC, counted when asked.';

-- The tables of the in-app UTM Dispatcher, for questions that were written for them.

CREATE OR REPLACE VIEW bi.utm_session AS
SELECT s.session_id AS id, NULL::bigint AS session, s.session_id::text AS session_key,
       CASE WHEN s.identity <> 0 THEN s.visitor_id::text END AS visitor_id,
       s.utm_source, s.utm_medium, s.utm_campaign, s.utm_content, s.utm_term,
       s.click_ids ->> 'fbclid' AS fbclid, s.click_ids ->> 'gclid' AS gclid, s.click_ids ->> 'ttclid' AS ttclid,
       s.cookies ->> '_fbc' AS fbc, s.cookies ->> '_fbp' AS fbp,
       s.ip_address, s.country, s.country_name, s.city, s.region, s.timezone,
       s.device_type, s.device_brand, s.device_model, s.os_name, s.os_version, s.browser_name, s.browser_version, s.user_agent,
       s.referrer, s.landing_page,
       s.session_number AS visit_count, s.session_number = 1 AS is_first_visit, s.session_number > 1 AS is_returning_visitor,
       s.registration_at IS NOT NULL AS user_registered, s.registration_at AS user_registered_at,
       s.began_at AS first_seen, s.last_seen,
       s.order_count > 0 OR s.lead_at IS NOT NULL AS is_converted,
       coalesce(s.converted_at, s.lead_at) AS converted_at,
       CASE WHEN s.order_count > 0 THEN 'purchase' WHEN s.lead_at IS NOT NULL THEN 'lead' END AS conversion_type
FROM session_details s
WHERE NOT s.excluded AND s.continued_in IS NULL AND NOT s.bot;
COMMENT ON VIEW bi.utm_session IS 'Sessions of people as storefront_utmsession had them. session is always null: the shop''s own sessions are not seen.';

CREATE OR REPLACE VIEW bi.user_action AS
SELECT NULL::bigint AS id, a.session_id AS utm_session, NULL::bigint AS site_session, NULL::bigint AS "user", a.type AS action_type,
       a.path AS page_path, a.product_id, a.product_name, a.value AS cart_value, a.order_id, o.order_number,
       a.properties AS metadata, a.at AS "timestamp", a.points AS points_earned
FROM bi.actions a
LEFT JOIN bi.orders o ON o.site = a.site AND o.order_id = a.order_id
WHERE NOT a.bot;
COMMENT ON VIEW bi.user_action IS 'Actions of people as storefront_useraction had them. id, site_session and user are always null.';

CREATE OR REPLACE VIEW bi.order_utm AS
SELECT coalesce(n.name, '(none)') AS site, o.order_id, o.order_number,
       CASE WHEN o.forgotten_at IS NULL THEN o.session_id END AS utm_session,
       c.source AS utm_source, c.medium AS utm_medium, c.campaign AS utm_campaign, c.content AS utm_content, c.term AS utm_term
FROM orders o
LEFT JOIN sites n ON n.site_id = o.site_id
LEFT JOIN order_credits k ON k.site_id = o.site_id AND k.order_id = o.order_id AND k.model = 'last_non_direct'
LEFT JOIN campaigns c ON c.campaign_id = k.campaign_id;
COMMENT ON VIEW bi.order_utm IS 'The six fields that the in-app UTM Dispatcher added to the shop''s orders, with the values as they came.';
