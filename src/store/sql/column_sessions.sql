-- The sessions of some hours that reports count, as session_columns has them.
-- $1 session_hour, $2 whether it is told what was done in them
-- → session_hour, session_id, started_at, began_at, last_seen, visitor_id, session_number, bot, bounced, converted, lead, registered,
--   for_a_day, page_views, milliseconds, points, site_id, campaign_id, agent_id, place_id, referrer_id, landing_page_id; kinds
--   integer[], times timestamptz[] and products bigint[] of its actions, view_times timestamptz[] of its page views, null without
--   (and first times, as session_facts has them)
SELECT f.*
FROM unnest($1::timestamptz[]) AS h(session_hour)
-- An hour is found by the primary key, and its events by their index, whatever the planner thinks of their number.
CROSS JOIN LATERAL (
    WITH counted AS MATERIALIZED (
        SELECT s.session_hour, s.session_id, s.started_at, s.began_at, s.last_seen, s.visitor_id, s.session_number, s.bot, s.bounced,
               s.converted, s.lead_at IS NOT NULL AS lead, s.registration_at IS NOT NULL AS registered, s.identity = 2 AS for_a_day,
               s.page_views::bigint AS page_views,
               CASE WHEN s.bounced THEN 0
                    ELSE round(date_part('epoch', s.last_seen - s.began_at) * 1000)::bigint END AS milliseconds,
               s.points::bigint AS points, s.site_id, s.campaign_id, s.agent_id, s.place_id, s.referrer_id, s.landing_page_id,
               s.product_view_at, s.add_to_cart_at, s.initiate_checkout_at, s.lead_at, s.purchase_at
        FROM session_facts s
        WHERE NOT s.excluded AND s.session_hour = h.session_hour
          AND s.session_id >= least_session_id(h.session_hour)
          AND s.session_id < least_session_id(h.session_hour + interval '1 hour')
    ), done AS (
        SELECT e.session_id, e.kind_id, e.at, e.product_key
        FROM events e
        WHERE $2::boolean AND e.session_id >= least_session_id(h.session_hour)
          AND e.session_id < least_session_id(h.session_hour + interval '1 hour')
        UNION ALL
        -- In the beginning without a cookie.
        SELECT c.session_id, e.kind_id, e.at, e.product_key
        FROM counted c
        CROSS JOIN LATERAL (
            SELECT x.cookieless_session_id
            FROM session_links x
            WHERE x.visitor_id = c.visitor_id AND x.session_id = c.session_id
            LIMIT 1
        ) l
        CROSS JOIN LATERAL (
            SELECT x.kind_id, x.at, x.product_key FROM events x WHERE x.session_id = l.cookieless_session_id OFFSET 0
        ) e
        WHERE $2 AND c.began_at < c.started_at
        UNION ALL
        -- What retention has passed.
        SELECT c.session_id, k.kind_id, t.at, NULL
        FROM counted c
        CROSS JOIN LATERAL (
            VALUES ('product_view', c.product_view_at), ('add_to_cart', c.add_to_cart_at),
                   ('initiate_checkout', c.initiate_checkout_at), ('lead', c.lead_at), ('purchase', c.purchase_at)
        ) AS t(name, at)
        JOIN action_kinds k ON k.name = t.name
        WHERE $2 AND t.at < (SELECT r.horizon FROM retention_horizons r WHERE r.kind = 'events')
    ), lists AS (
        SELECT d.session_id,
               array_agg(d.kind_id) FILTER (WHERE d.kind_id IS DISTINCT FROM p.kind_id) AS kinds,
               array_agg(d.at) FILTER (WHERE d.kind_id IS DISTINCT FROM p.kind_id) AS times,
               array_agg(d.product_key) FILTER (WHERE d.kind_id IS DISTINCT FROM p.kind_id) AS products,
               array_agg(d.at) FILTER (WHERE d.kind_id = p.kind_id) AS view_times
        FROM done d
        LEFT JOIN action_kinds p ON p.name = 'page_view'
        GROUP BY d.session_id
    )
    SELECT c.*, l.kinds, l.times, l.products, l.view_times
    FROM counted c
    LEFT JOIN lists l ON l.session_id = c.session_id
    OFFSET 0
) f
