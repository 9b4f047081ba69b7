-- Whether a key is too many people's is asked only of keys that somebody gave: for most orders' nobody did, and the answer takes
-- longer than all else that is looked up for an order.

CREATE OR REPLACE FUNCTION browsers_of_order(of_site integer, of_order text) RETURNS TABLE (
    visitor_id uuid, placed_at timestamptz, order_id text, kind text
) LANGUAGE sql STABLE PARALLEL SAFE ROWS 2 AS $$
    SELECT x.visitor_id, x.placed_at, x.order_id, NULL
    FROM orders o
    JOIN orders x ON x.site_id = o.site_id AND x.customer = o.customer
    WHERE o.site_id = of_site AND o.order_id = of_order AND x.joined_by IN ('cookie', 'session', 'visitor')
    UNION ALL
    SELECT i.visitor_id, NULL, NULL, i.kind
    FROM (
        SELECT i.visitor_id, k.kind, k.hash
        FROM (
            SELECT DISTINCT k.kind, k.hash
            FROM (
                SELECT of_order AS order_id
                UNION
                SELECT x.order_id
                FROM orders o JOIN orders x ON x.site_id = o.site_id AND x.customer = o.customer
                WHERE o.site_id = of_site AND o.order_id = of_order
            ) x
            CROSS JOIN LATERAL keys_of_order(of_site, x.order_id) k
        ) k
        CROSS JOIN LATERAL identified_by(of_site, k.hash) i
        OFFSET 0
    ) i
    WHERE NOT is_shared_key(of_site, i.hash, 200, 10)
$$;
