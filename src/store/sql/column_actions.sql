-- What was done in the sessions of some hours, as session_columns has it.
-- $1 session_hour
-- → session_id; kinds integer[], times timestamptz[] and products bigint[] of its actions, view_times timestamptz[] of its page views, null
--   without
SELECT l.*
FROM unnest($1::timestamptz[]) AS h(session_hour)
-- An hour is found by the primary key, and its events by their index, whatever the planner thinks of their number. All hours are
-- named for the planner as well: it leaves other months alone.
CROSS JOIN LATERAL (
    SELECT d.session_id,
           array_agg(d.kind_id) FILTER (WHERE d.kind_id IS DISTINCT FROM p.kind_id) AS kinds,
           array_agg(d.at) FILTER (WHERE d.kind_id IS DISTINCT FROM p.kind_id) AS times,
           array_agg(d.product_key) FILTER (WHERE d.kind_id IS DISTINCT FROM p.kind_id) AS products,
           array_agg(d.at) FILTER (WHERE d.kind_id = p.kind_id) AS view_times
    FROM (
        SELECT e.session_id, e.kind_id, e.at, e.product_key
        FROM events e
        WHERE e.session_id >= least_session_id(h.session_hour)
          AND e.session_id < least_session_id(h.session_hour + interval '1 hour')
        UNION ALL
        -- In the beginning without a cookie.
        SELECT s.session_id, e.kind_id, e.at, e.product_key
        FROM sessions s
        CROSS JOIN LATERAL (SELECT begun_in(s.visitor_id, s.session_id) AS session_id OFFSET 0) b
        CROSS JOIN LATERAL (
            SELECT x.kind_id, x.at, x.product_key FROM events x WHERE x.session_id = b.session_id OFFSET 0
        ) e
        WHERE s.session_hour = h.session_hour AND s.session_hour = ANY ($1) AND s.session_id >= least_session_id(h.session_hour)
          AND s.session_id < least_session_id(h.session_hour + interval '1 hour') AND (s.landing).started_at < s.started_at
        UNION ALL
        -- What retention has passed: the first times are left.
        SELECT s.session_id, k.kind_id, t.at, NULL
        FROM (SELECT x.horizon FROM retention_horizons x WHERE x.kind = 'events') r
        CROSS JOIN LATERAL (
            SELECT x.session_id, x.product_view_at, x.add_to_cart_at, x.initiate_checkout_at, x.lead_at, x.purchase_at
            FROM session_facts x
            WHERE x.session_hour = h.session_hour AND x.session_hour = ANY ($1) AND x.session_id >= least_session_id(h.session_hour)
              AND x.session_id < least_session_id(h.session_hour + interval '1 hour') AND x.session_hour < r.horizon
            OFFSET 0
        ) s
        CROSS JOIN LATERAL (
            VALUES ('product_view', s.product_view_at), ('add_to_cart', s.add_to_cart_at),
                   ('initiate_checkout', s.initiate_checkout_at), ('lead', s.lead_at), ('purchase', s.purchase_at)
        ) AS t(name, at)
        JOIN action_kinds k ON k.name = t.name
        WHERE t.at < r.horizon
    ) d
    LEFT JOIN action_kinds p ON p.name = 'page_view'
    GROUP BY d.session_id
    OFFSET 0
) l
