-- Sums up whole days.
-- $1 session_day
INSERT INTO session_days (
    session_day, started_day, campaign_id, site_id, bot, sessions, first_visits, bounces, conversions, lead_sessions,
    registrations, page_views, milliseconds, points, visitors)
SELECT s.session_span, s.started_step, s.campaign_id, s.site_id, s.bot, s.sessions, s.first_visits, s.bounces,
       s.conversions, s.lead_sessions, s.registrations, s.page_views, s.milliseconds, s.points, s.visitors
FROM session_sums($1::timestamptz[], '24 hours', '24 hours') s
