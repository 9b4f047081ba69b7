-- How many sessions, page views and conversions does each bucket of the window have?
--
-- $1–$20   window and filters, as report_sums() takes them
-- $21 timestamptz[]  edges of the buckets
-- $22 boolean        give sketches, from which people are estimated
-- Rows by bucket: bucket integer from 1; sessions, page_views, conversions bigint; sketch bytea, null = none asked for
--
-- A bucket at a time, each by the sums that general-stats adds up: so that they agree, and the planner has nothing to join.
SELECT b.bucket, s.sessions, s.page_views, s.conversions, s.sketch
FROM generate_series(1, cardinality($21::timestamptz[]) - 1) AS b(bucket)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(r.sessions), 0)::bigint    AS sessions,
           coalesce(sum(r.page_views), 0)::bigint  AS page_views,
           coalesce(sum(r.conversions), 0)::bigint AS conversions,
           CASE WHEN $22::boolean THEN string_agg(r.visitors, '') END AS sketch
    FROM report_sums(greatest($1, $21[b.bucket]), least($2, $21[b.bucket + 1]), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
                     $13, $14, $15, $16, $17, $18, $19, $20) r
) s
ORDER BY b.bucket
