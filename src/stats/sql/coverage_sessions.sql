-- Which sessions are counted, and which are not?
--
-- $1 timestamptz, $2 timestamptz  window, $3 text[] sites, null = all
-- One row, all bigint: sessions (counted), page_views (theirs), without_cookie (of sessions), joined_landings (visits that
--          began where no cookie could be set, and are told as one), flagged (taken for bots'), excluded
SELECT count(*) FILTER (WHERE NOT s.excluded AND NOT s.bot)                        AS sessions,
       coalesce(sum(s.page_views) FILTER (WHERE NOT s.excluded AND NOT s.bot), 0)::bigint AS page_views,
       count(*) FILTER (WHERE NOT s.excluded AND NOT s.bot AND s.identity = 2)     AS without_cookie,
       count(*) FILTER (WHERE s.continued)                                         AS joined_landings,
       count(*) FILTER (WHERE NOT s.excluded AND s.bot)                            AS flagged,
       count(*) FILTER (WHERE s.excluded_by IS NOT NULL AND NOT s.continued)       AS excluded
FROM session_facts s
WHERE ($1::timestamptz IS NULL OR (s.started_at >= $1 AND s.session_hour >= $1 - interval '2 days'))
  AND s.started_at < $2::timestamptz AND s.session_hour < $2
  AND ($3::text[] IS NULL OR s.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($3)))
