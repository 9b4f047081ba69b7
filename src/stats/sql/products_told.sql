-- What products do purchases name that were seen in the sessions of some orders?
--
-- $1 text[] orders, $2 uuid[] the session of each, $3 timestamptz first instant after the window
-- Rows by product: site_id integer, product_id, name text, product_key bigint; purchases bigint (orders with it); sessions uuid[]
SELECT p.site_id, p.product_id, p.name, p.product_key, count(*) AS purchases, array_agg(DISTINCT n.session_id) AS sessions
FROM (
    SELECT DISTINCT o.session_id, o.order_id, e.product_key
    FROM unnest($1::text[], $2::uuid[]) AS o(order_id, session_id)
    CROSS JOIN LATERAL (
        SELECT x.kind_id, x.product_key
        FROM events x
        WHERE x.session_id = o.session_id AND x.order_id = o.order_id
          AND x.at >= hour_of(o.session_id) AND x.at < $3::timestamptz + interval '2 days'
        OFFSET 0
    ) e
    WHERE e.kind_id = (SELECT k.kind_id FROM action_kinds k WHERE k.name = 'purchase')
) n
JOIN products p ON p.product_key = n.product_key
GROUP BY p.product_key
