-- Of those who deny being known: how many pages, landings by channel and source, and orders?
--
-- $1 timestamptz, $2 timestamptz  window, $3 text[] sites, null = all
-- Rows, the most landings first: channel, source text, page_views, landings, orders bigint. Pages that were no landings, and
--       orders, have neither channel nor source: they are of no row by source.
SELECT CASE WHEN d.campaign_id = -1 THEN 'Direct' ELSE coalesce(l.channel, 'Unassigned') END AS channel,
       CASE WHEN d.campaign_id = -1 THEN '(direct)' ELSE coalesce(l.source, '(none)') END AS source,
       sum(d.page_views)::bigint AS page_views, sum(d.landings)::bigint AS landings, sum(d.orders)::bigint AS orders
FROM denied_hits d
LEFT JOIN campaign_labels l ON l.campaign_id = d.campaign_id
WHERE ($1::timestamptz IS NULL OR d.quarter >= $1) AND d.quarter < $2::timestamptz
  AND ($3::text[] IS NULL OR d.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($3)))
GROUP BY 1, 2
ORDER BY landings DESC, channel, source
LIMIT 1000
