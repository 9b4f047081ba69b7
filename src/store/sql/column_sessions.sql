-- The sessions of some hours that reports count, as session_columns has them.
-- $1 session_hour
-- → session_hour, session_id, started_at, began_at, last_seen, visitor_id, session_number, bot, bounced, converted, lead, registered,
--   for_a_day, page_views, milliseconds, points, site_id, campaign_id, agent_id, place_id, referrer_id, landing_page_id
SELECT f.*
FROM unnest($1::timestamptz[]) AS h(session_hour)
-- An hour is found by the primary key, whatever the planner thinks of their number. All hours are named for the planner as well: it
-- leaves other months alone.
CROSS JOIN LATERAL (
    SELECT s.session_hour, s.session_id, s.started_at, s.began_at, s.last_seen, s.visitor_id, s.session_number, s.bot, s.bounced,
           s.converted, s.lead_at IS NOT NULL AS lead, s.registration_at IS NOT NULL AS registered, s.identity = 2 AS for_a_day,
           s.page_views::bigint AS page_views,
           CASE WHEN s.bounced THEN 0
                ELSE round(date_part('epoch', s.last_seen - s.began_at) * 1000)::bigint END AS milliseconds,
           s.points::bigint AS points, s.site_id, s.campaign_id, s.agent_id, s.place_id, s.referrer_id, s.landing_page_id
    FROM session_facts s
    WHERE NOT s.excluded AND s.session_hour = h.session_hour AND s.session_hour = ANY ($1)
      AND s.session_id >= least_session_id(h.session_hour)
      AND s.session_id < least_session_id(h.session_hour + interval '1 hour')
    OFFSET 0
) f
