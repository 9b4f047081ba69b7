-- How many sessions, people, views and conversions does the window have?
--
-- $1–$18   window and filters, as report_sessions() takes them
-- One row: total_sessions, unique_visitors, new_visitors, page_views, bounces, seconds, conversions, lead_sessions,
--          registrations, points (all bigint)
--
-- Visitors are counted by grouping, which PostgreSQL hashes, where count(DISTINCT) would sort.
SELECT s.*, v.*
FROM (
    SELECT count(*)                                              AS total_sessions,
           coalesce(sum(s.page_views), 0)::bigint                AS page_views,
           count(*) FILTER (WHERE s.bounced)                     AS bounces,
           coalesce(sum(CASE WHEN s.bounced THEN 0 ELSE extract(epoch FROM s.last_seen - s.started_at)::float8 END),
                    0)::bigint                                   AS seconds,
           count(*) FILTER (WHERE s.converted)                   AS conversions,
           count(*) FILTER (WHERE s.lead_at IS NOT NULL)         AS lead_sessions,
           count(*) FILTER (WHERE s.registration_at IS NOT NULL) AS registrations,
           coalesce(sum(s.points), 0)::bigint                    AS points
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) s
) s
CROSS JOIN (
    SELECT count(*) AS unique_visitors, count(*) FILTER (WHERE p.is_new) AS new_visitors
    FROM (
        SELECT bool_or(s.session_number = 1) AS is_new
        FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) s
        GROUP BY s.visitor_id
    ) p
) v
