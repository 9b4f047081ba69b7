-- The orders of some days, with what their sessions say, by whom they were earned and whose they are, as order_columns has them.
-- $1 days, $2 the first and $3 the first instant after placed_at, null: whenever
-- $4 columns of order_columns: what none of these says is not looked up, and is null; flags say of sessions where session_starts are
--   asked for, and of reports where flags are. $5 models whose credits are looked up
-- → by placed_at, site_id, order_id: placed_at, site_id, order_id, currency, gross, paid, refunded, net, visitor_id, session_id, session_hour,
--   started_at, bot, left_out, agent_id, place_id, referrer_id, landing_page_id; models text[], campaigns bigint[] and credits integer[] of
--   its touches in their order, null without, first_touch_at; ways smallint[], phones, emails, user_ids bytea[] of its reports, null without
SELECT o.placed_at, o.site_id, o.order_id, o.currency, o.gross, o.paid, o.refunded, o.net, o.visitor_id, o.session_id,
       CASE WHEN o.session_id IS NOT NULL THEN hour_of(o.session_id) END AS session_hour,
       s.started_at, s.bot, s.left_out, s.agent_id, s.place_id, s.referrer_id, s.landing_page_id,
       k.models, k.campaigns, k.credits, k.first_touch_at, e.ways, e.phones, e.emails, e.user_ids
FROM unnest($1::timestamptz[]) AS d(order_day)
CROSS JOIN LATERAL (
    SELECT x.*
    FROM orders x
    WHERE x.placed_at >= greatest(d.order_day, $2::timestamptz)
      AND x.placed_at < least(d.order_day + interval '24 hours', $3::timestamptz)
    OFFSET 0
) o
LEFT JOIN LATERAL (
    SELECT f.started_at, f.bot, f.excluded_by IS NOT NULL AS left_out, f.agent_id, f.place_id, f.referrer_id, f.landing_page_id
    FROM session_facts f
    WHERE f.session_id = o.session_id AND f.session_hour = hour_of(o.session_id)
      AND $4::text[] && ARRAY['session_starts', 'agents', 'places', 'referrers', 'landing_pages']
    ORDER BY f.visitor_id
    LIMIT 1
) s ON true
LEFT JOIN LATERAL (
    -- Sorted once, not by each of the sums.
    SELECT array_agg(c.model) AS models, array_agg(c.campaign_id) AS campaigns, array_agg(c.credit) AS credits,
           min(c.touch_at) FILTER (WHERE c.model = 'linear') AS first_touch_at
    FROM (
        SELECT x.*
        FROM order_credits x
        WHERE x.site_id = o.site_id AND x.order_id = o.order_id
          AND x.model = ANY ($5::text[])
        ORDER BY x.model, x."position"
    ) c
    OFFSET 0
) k ON true
LEFT JOIN LATERAL (
    SELECT array_agg(r.way) AS ways, array_agg(r.phone) FILTER (WHERE r.phone IS NOT NULL) AS phones,
           array_agg(r.email) FILTER (WHERE r.email IS NOT NULL) AS emails,
           array_agg(r.user_id) FILTER (WHERE r.user_id IS NOT NULL) AS user_ids
    FROM order_entries r
    WHERE r.site_id = o.site_id AND r.order_id = o.order_id AND $4 && ARRAY['keys', 'flags']
    OFFSET 0
) e ON true
ORDER BY o.placed_at, o.site_id, o.order_id
