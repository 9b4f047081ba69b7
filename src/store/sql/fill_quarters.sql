-- Sums up hours by quarter hour.
-- $1 session_hour
INSERT INTO session_quarters (
    session_hour, quarter, campaign_id, site_id, bot, sessions, first_visits, bounces, conversions, lead_sessions,
    registrations, page_views, milliseconds, points, visitors)
SELECT s.session_span, s.started_step, s.campaign_id, s.site_id, s.bot, s.sessions, s.first_visits, s.bounces,
       s.conversions, s.lead_sessions, s.registrations, s.page_views, s.milliseconds, s.points, s.visitors
FROM session_sums($1::timestamptz[], '1 hour', '15 minutes') s
