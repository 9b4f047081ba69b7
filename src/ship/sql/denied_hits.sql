-- Counts hits of people who deny being known.
-- $1 quarter, $2 site_id, $3 campaign_id, $4 page_views, $5 landings, $6 orders
INSERT INTO denied_hits AS d (quarter, site_id, campaign_id, page_views, landings, orders)
SELECT n.quarter, n.site_id, n.campaign_id, n.page_views, n.landings, n.orders
FROM unnest($1::timestamptz[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    AS n(quarter, site_id, campaign_id, page_views, landings, orders)
ORDER BY n.quarter, n.site_id, n.campaign_id
ON CONFLICT (quarter, site_id, campaign_id) DO UPDATE SET
    page_views = d.page_views + excluded.page_views,
    landings   = d.landings + excluded.landings,
    orders     = d.orders + excluded.orders
