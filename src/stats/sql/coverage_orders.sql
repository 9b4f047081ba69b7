-- Of the orders that the shop has: how many were seen as they passed, and how many are known to be somebody's? By local day.
--
-- $1 timestamptz, $2 timestamptz  window, $3 text[] sites, null = all, $4 text zone
-- Rows by day: day date, orders, seen (by a rule or a header), reported (by the API or an import), seen_and_reported,
--              by_rule, by_header, by_import, by_api, with_visitor, with_touch bigint
SELECT (o.placed_at AT TIME ZONE $4::text)::date AS day,
       count(*)                                            AS orders,
       count(*) FILTER (WHERE w.rule OR w.header)          AS seen,
       count(*) FILTER (WHERE w.import OR w.api)           AS reported,
       count(*) FILTER (WHERE (w.rule OR w.header) AND (w.import OR w.api)) AS seen_and_reported,
       count(*) FILTER (WHERE w.rule)                      AS by_rule,
       count(*) FILTER (WHERE w.header)                    AS by_header,
       count(*) FILTER (WHERE w.import)                    AS by_import,
       count(*) FILTER (WHERE w.api)                       AS by_api,
       count(*) FILTER (WHERE o.visitor_id IS NOT NULL)    AS with_visitor,
       count(*) FILTER (WHERE EXISTS (
           SELECT FROM order_credits k
           WHERE k.site_id = o.site_id AND k.order_id = o.order_id AND k.campaign_id IS NOT NULL)) AS with_touch
FROM orders o
CROSS JOIN LATERAL (
    SELECT coalesce(bool_or(e.way = 1), false) AS rule, coalesce(bool_or(e.way = 2), false) AS header,
           coalesce(bool_or(e.way = 3), false) AS import, coalesce(bool_or(e.way = 4), false) AS api
    FROM order_entries e
    WHERE e.site_id = o.site_id AND e.order_id = o.order_id
) w
WHERE ($1::timestamptz IS NULL OR o.placed_at >= $1) AND o.placed_at < $2::timestamptz
  AND ($3::text[] IS NULL OR o.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($3)))
GROUP BY 1
ORDER BY 1
