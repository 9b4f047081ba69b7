-- What did each kind of rule leave out? Requests are those since the rule is there, whatever the window.
--
-- $1 timestamptz, $2 timestamptz  window, $3 text[] sites, null = all
-- Rows: kind text, rules bigint, hits bigint, sessions bigint (of the window)
SELECT x.kind, count(*) AS rules, sum(x.hits)::bigint AS hits, coalesce(sum(s.sessions), 0)::bigint AS sessions
FROM exclusions x
LEFT JOIN (
    SELECT e.excluded_by, count(*) AS sessions
    FROM sessions e
    WHERE e.excluded_by IS NOT NULL AND NOT e.continued
      AND ($1::timestamptz IS NULL OR e.started_at >= $1) AND e.session_hour >= first_hour($1)
      AND e.started_at < $2::timestamptz AND e.session_hour < $2
      AND ($3::text[] IS NULL OR e.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($3)))
    GROUP BY e.excluded_by
) s ON s.excluded_by = x.exclusion_id
GROUP BY x.kind
ORDER BY x.kind
