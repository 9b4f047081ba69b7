-- Credits orders to the visitor's last touch up to the order, within the lookback; without one, to nothing ("direct").
-- Orders joined to nobody get no row, those that have credits keep them.
-- $1 site_id, $2 order_id, $3 lookback in seconds
INSERT INTO order_credits (site_id, order_id, model, position, session_id, evidence, touch_at, campaign_id,
                           referrer_id, credit)
SELECT o.site_id, o.order_id, 'last_non_direct', 1, t.session_id, t.evidence, t.at, t.campaign_id, t.referrer_id,
       1000000
FROM (SELECT DISTINCT a.site_id, a.order_id FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id)) a
JOIN orders o USING (site_id, order_id)
LEFT JOIN LATERAL (
    SELECT t.session_id, t.evidence, t.at, t.campaign_id, t.referrer_id FROM touches_of(o.visitor_id) t
    WHERE t.at <= o.placed_at AND t.at > o.placed_at - make_interval(secs => $3::double precision)
    ORDER BY t.at DESC, t.evidence DESC, t.session_id DESC LIMIT 1
) t ON true
WHERE o.visitor_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM order_credits c
                  WHERE (c.site_id, c.order_id, c.model) = (o.site_id, o.order_id, 'last_non_direct'))
