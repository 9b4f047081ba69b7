-- What do purchases name of some orders? One is of the time of its session.
-- $1 site_id, $2 order_id, $3 session_id of the orders; $4 the first and $5 the last hour of the sessions' ids: the planner leaves other
--   months of sessions, and earlier ones of events, alone
-- → of orders for which there is one: site_id, order_id; told bigint[], keys of products
SELECT o.site_id, o.order_id, t.told
FROM unnest($1::integer[], $2::text[], $3::uuid[]) AS o(site_id, order_id, session_id)
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT e.product_key) AS told
    FROM (
        SELECT max(x.last_seen) AS last_seen
        FROM sessions x
        WHERE x.session_id = o.session_id AND x.session_hour = hour_of(o.session_id)
          AND x.session_hour >= $4::timestamptz AND x.session_hour <= $5::timestamptz
    ) s
    CROSS JOIN LATERAL (
        SELECT x.kind_id, x.product_key
        FROM events x
        WHERE x.session_id = o.session_id AND x.order_id = o.order_id
          AND x.at >= $4 AND x.at >= hour_of(o.session_id) AND x.at <= s.last_seen
        OFFSET 0
    ) e
    WHERE e.product_key IS NOT NULL AND e.kind_id = (SELECT k.kind_id FROM action_kinds k WHERE k.name = 'purchase')
    OFFSET 0
) t
WHERE t.told IS NOT NULL
