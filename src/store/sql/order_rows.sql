-- The orders of some days, and of sessions of some hours, with what their sessions say and by whom they were earned, as
-- order_columns has them.
-- $1 days, $2 hours, $3 the first and $4 the first instant after placed_at, null: whenever
-- → placed_at, site_id, currency, gross, paid, refunded, net, known, session_hour, started_at, bot, left_out,
--   agent_id, place_id, referrer_id, landing_page_id; models text[], campaigns bigint[] and credits integer[] of its touches in their order, null without
SELECT o.placed_at, o.site_id, o.currency, o.gross, o.paid, o.refunded, o.net, o.visitor_id IS NOT NULL AS known,
       CASE WHEN o.session_id IS NOT NULL THEN hour_of(o.session_id) END AS session_hour,
       s.started_at, s.bot, s.left_out, s.agent_id, s.place_id, s.referrer_id, s.landing_page_id, k.models, k.campaigns, k.credits
FROM (
    SELECT d.*
    FROM unnest($1::timestamptz[]) AS t(order_day)
    CROSS JOIN LATERAL (
        SELECT x.*
        FROM orders x
        WHERE x.placed_at >= greatest(t.order_day, $3::timestamptz)
          AND x.placed_at < least(t.order_day + interval '24 hours', $4::timestamptz)
        OFFSET 0
    ) d
    UNION ALL
    SELECT d.*
    FROM unnest($2::timestamptz[]) AS t(session_hour)
    CROSS JOIN LATERAL (
        SELECT x.*
        FROM orders x
        WHERE x.session_id >= least_session_id(t.session_hour)
          AND x.session_id < least_session_id(t.session_hour + interval '1 hour')
          AND ($3::timestamptz IS NULL OR x.placed_at >= $3) AND ($4::timestamptz IS NULL OR x.placed_at < $4)
          AND day_of(x.placed_at) <> ALL ($1)
        OFFSET 0
    ) d
) o
LEFT JOIN LATERAL (
    SELECT f.started_at, f.bot, f.excluded_by IS NOT NULL AS left_out, f.agent_id, f.place_id, f.referrer_id, f.landing_page_id
    FROM session_facts f
    WHERE f.session_id = o.session_id AND f.session_hour = hour_of(o.session_id)
    ORDER BY f.visitor_id
    LIMIT 1
) s ON true
LEFT JOIN LATERAL (
    SELECT array_agg(c.model ORDER BY c.model, c."position") AS models,
           array_agg(c.campaign_id ORDER BY c.model, c."position") AS campaigns,
           array_agg(c.credit ORDER BY c.model, c."position") AS credits
    FROM order_credits c
    WHERE c.site_id = o.site_id AND c.order_id = o.order_id
    OFFSET 0
) k ON true
