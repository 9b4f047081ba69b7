-- What do the sessions of each bucket of a window add up to that are not all kept?
--
-- $1–$20   window and filters, as report_sums() takes them
-- $21 timestamptz[]  edges of the buckets
-- Rows by bucket: bucket integer from 1; sessions, first_visits, page_views, bounces, milliseconds, conversions, lead_sessions, registrations,
--          points (all bigint); sketch bytea from which people are estimated, null
--          without sessions
--
-- A bucket at a time, each by the sums that general-stats adds up: so that they agree, and the planner has nothing to join.
SELECT b.bucket, r.*
FROM generate_series(1, cardinality($21::timestamptz[]) - 1) AS b(bucket)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(s.sessions), 0)::bigint      AS sessions,
           coalesce(sum(s.first_visits), 0)::bigint  AS first_visits,
           coalesce(sum(s.page_views), 0)::bigint    AS page_views,
           coalesce(sum(s.bounces), 0)::bigint       AS bounces,
           coalesce(sum(s.milliseconds), 0)::bigint  AS milliseconds,
           coalesce(sum(s.conversions), 0)::bigint   AS conversions,
           coalesce(sum(s.lead_sessions), 0)::bigint AS lead_sessions,
           coalesce(sum(s.registrations), 0)::bigint AS registrations,
           coalesce(sum(s.points), 0)::bigint        AS points,
           string_agg(s.visitors, '')                AS sketch
    FROM report_sums(greatest($1, $21[b.bucket]), least($2, $21[b.bucket + 1]), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
                     $13, $14, $15, $16, $17, $18, $19, $20) s
) r
ORDER BY b.bucket
