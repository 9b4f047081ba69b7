-- What happens now: how many people, page views, actions and orders in the last minutes, in all, by source and by page?
--
-- $1 timestamptz now, $2 text[] sites, null = all, $3 text bots: exclude, include, only
-- $4 bigint  sources and pages to give
-- Rows: part 'all', 'source', 'page' (name text, host text); visitors_5, page_views_5, actions_5, visitors_30, page_views_30,
--       actions_30 bigint; orders_5, orders_30 bigint (part 'all')
--
-- Who is excluded, or a bot, is left out; the cookieless beginning of a visit counts, as what happened. The hours of the last
-- 30 minutes are not closed, so that nothing here comes from rollups.
WITH recent AS MATERIALIZED (
    SELECT e.at >= $1::timestamptz - interval '5 minutes' AS is_late, e.visitor_id, e.page_id, e.kind_id, s.source
    FROM events e
    CROSS JOIN LATERAL (
        SELECT x.source
        FROM session_facts x
        WHERE x.session_id = e.session_id AND x.visitor_id = e.visitor_id AND x.excluded_by IS NULL
          AND x.session_hour > $1::timestamptz - interval '3 days'
          AND CASE $3::text WHEN 'include' THEN true WHEN 'only' THEN x.bot ELSE NOT x.bot END
        LIMIT 1
    ) s
    WHERE e.at >= $1::timestamptz - interval '30 minutes' AND e.at <= $1::timestamptz
      AND ($2::text[] IS NULL OR e.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($2)))
), told AS MATERIALIZED (
    SELECT r.is_late, r.visitor_id, r.page_id, r.source, k.name = 'page_view' AS is_view
    FROM recent r
    LEFT JOIN action_kinds k ON k.kind_id = r.kind_id
), placed AS (
    SELECT count(*) FILTER (WHERE o.placed_at >= $1::timestamptz - interval '5 minutes') AS orders_5, count(*) AS orders_30
    FROM orders o
    WHERE o.placed_at >= $1::timestamptz - interval '30 minutes' AND o.placed_at <= $1::timestamptz
      AND ($2 IS NULL OR o.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($2)))
), whole AS (
    SELECT count(DISTINCT t.visitor_id) FILTER (WHERE t.is_late) AS visitors_5,
           count(*) FILTER (WHERE t.is_late AND t.is_view) AS page_views_5,
           count(*) FILTER (WHERE t.is_late AND NOT t.is_view) AS actions_5,
           count(DISTINCT t.visitor_id) AS visitors_30, count(*) FILTER (WHERE t.is_view) AS page_views_30,
           count(*) FILTER (WHERE NOT t.is_view) AS actions_30
    FROM told t
), sources AS (
    SELECT t.source, count(DISTINCT t.visitor_id) FILTER (WHERE t.is_late) AS visitors_5,
           count(*) FILTER (WHERE t.is_late AND t.is_view) AS page_views_5,
           count(*) FILTER (WHERE t.is_late AND NOT t.is_view) AS actions_5,
           count(DISTINCT t.visitor_id) AS visitors_30, count(*) FILTER (WHERE t.is_view) AS page_views_30,
           count(*) FILTER (WHERE NOT t.is_view) AS actions_30
    FROM told t
    GROUP BY t.source
    ORDER BY count(DISTINCT t.visitor_id) DESC, t.source
    LIMIT $4::bigint
), pages_seen AS (
    SELECT coalesce(g.path, '(none)') AS path, coalesce(g.host, '(none)') AS host,
           count(DISTINCT t.visitor_id) FILTER (WHERE t.is_late) AS visitors_5,
           count(*) FILTER (WHERE t.is_late AND t.is_view) AS page_views_5,
           count(*) FILTER (WHERE t.is_late AND NOT t.is_view) AS actions_5,
           count(DISTINCT t.visitor_id) AS visitors_30, count(*) FILTER (WHERE t.is_view) AS page_views_30,
           count(*) FILTER (WHERE NOT t.is_view) AS actions_30
    FROM told t
    LEFT JOIN pages g ON g.page_id = t.page_id
    GROUP BY 1, 2
    ORDER BY count(DISTINCT t.visitor_id) DESC, 1, 2
    LIMIT $4
)
SELECT 'all' AS part, NULL::text AS name, NULL::text AS host, w.visitors_5, w.page_views_5, w.actions_5, w.visitors_30,
       w.page_views_30, w.actions_30, p.orders_5, p.orders_30
FROM whole w
CROSS JOIN placed p
UNION ALL
SELECT 'source', s.source, NULL, s.visitors_5, s.page_views_5, s.actions_5, s.visitors_30, s.page_views_30, s.actions_30, 0, 0
FROM sources s
UNION ALL
SELECT 'page', g.path, g.host, g.visitors_5, g.page_views_5, g.actions_5, g.visitors_30, g.page_views_30, g.actions_30, 0, 0
FROM pages_seen g
