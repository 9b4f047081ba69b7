-- What do the sessions of each campaign add up to, in a window whose sessions are not all kept?
--
-- $1–$20   window and filters, as report_sums() takes them
-- Rows: id bigint, null = direct; sessions, first_visits, page_views, bounces, milliseconds, conversions, lead_sessions, registrations,
--          points (all bigint); sketch bytea from which people are estimated
SELECT s.campaign_id AS id,
       coalesce(sum(s.sessions), 0)::bigint      AS sessions,
       coalesce(sum(s.first_visits), 0)::bigint  AS first_visits,
       coalesce(sum(s.page_views), 0)::bigint    AS page_views,
       coalesce(sum(s.bounces), 0)::bigint       AS bounces,
       coalesce(sum(s.milliseconds), 0)::bigint  AS milliseconds,
       coalesce(sum(s.conversions), 0)::bigint   AS conversions,
       coalesce(sum(s.lead_sessions), 0)::bigint AS lead_sessions,
       coalesce(sum(s.registrations), 0)::bigint AS registrations,
       coalesce(sum(s.points), 0)::bigint        AS points,
       string_agg(s.visitors, '')                AS sketch
FROM report_sums($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
GROUP BY s.campaign_id
