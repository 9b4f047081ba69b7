-- How many sessions, people, views and conversions does the window have?
--
-- $1–$18   window and filters, as report_sessions() takes them
-- One row: total_sessions, unique_visitors, new_visitors, page_views, bounces, seconds, conversions, lead_sessions,
--          registrations, points (all bigint)
SELECT count(*)                                                          AS total_sessions,
       count(DISTINCT s.visitor_id)                                      AS unique_visitors,
       count(DISTINCT s.visitor_id) FILTER (WHERE s.session_number = 1)  AS new_visitors,
       coalesce(sum(s.page_views), 0)::bigint                            AS page_views,
       count(*) FILTER (WHERE s.bounced)                                 AS bounces,
       coalesce(sum(CASE WHEN s.bounced THEN 0 ELSE extract(epoch FROM s.last_seen - s.started_at) END), 0)::bigint
                                                                         AS seconds,
       count(*) FILTER (WHERE s.converted)                               AS conversions,
       count(*) FILTER (WHERE s.lead_at IS NOT NULL)                     AS lead_sessions,
       count(*) FILTER (WHERE s.registration_at IS NOT NULL)             AS registrations,
       coalesce(sum(s.points), 0)::bigint                                AS points
FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) s
