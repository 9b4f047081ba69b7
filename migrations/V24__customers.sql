-- A customer's browsers earn orders together: touches of all of them are credited, not only those of the browser that ordered.
--
-- A customer is whoever phones, e-mails and user ids of orders connect, also by way of other orders: order and order by a key
-- that both have, key and key by an order that has both. What is known up to an order counts: the orders that connect were
-- placed at its moment or before, whenever their keys were told. Of those the browsers are whose cookie, session or visitor
-- joins them to somebody. Nothing is written down of it: it follows from order_entries and orders, and goes with them.
--
-- What very many have is no customer: a key that more than 200 reports name, or that orders of more than ten browsers have (a
-- shop assistant's own telephone, an account for trying out), connects nothing, and whoever has more than 50 keys has only the
-- browser that ordered.

-- The orders of a key; none when it stands for no customer. most_visitors null: only reports are counted.
CREATE FUNCTION orders_of_key(of_site integer, key bytea, most_visitors integer) RETURNS TABLE (order_id text)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 3 AS $$
    SELECT unnest(x.orders)
    FROM (
        SELECT array_agg(DISTINCT y.order_id) AS orders, count(*) AS reports,
               count(DISTINCT o.visitor_id) FILTER (WHERE o.joined_by IN ('cookie', 'session', 'visitor')) AS visitors
        FROM (SELECT e.site_id, e.order_id FROM order_entries e
              WHERE e.phone = key OR e.email = key OR e.user_id = key
              LIMIT 201) y
        LEFT JOIN orders o ON o.site_id = y.site_id AND o.order_id = y.order_id
        WHERE y.site_id = of_site
    ) x
    WHERE x.reports <= 200 AND (most_visitors IS NULL OR x.visitors <= most_visitors)
$$;
COMMENT ON FUNCTION orders_of_key IS 'Orders that have a phone, an e-mail or a user id in common.';

-- known_by: of the keys by which an order was found the first by name: email, phone, user_id.
CREATE FUNCTION customer_orders(of_site integer, of_order text, until timestamptz) RETURNS TABLE (
    order_id text, visitor_id uuid, placed_at timestamptz, is_direct boolean, known_by text
) LANGUAGE sql STABLE PARALLEL SAFE ROWS 3 AS $$
    WITH RECURSIVE known(hash) AS (
        SELECT k.hash
        FROM order_entries e
        CROSS JOIN LATERAL (VALUES (e.phone), (e.email), (e.user_id)) AS k(hash)
        WHERE e.site_id = of_site AND e.order_id = of_order AND k.hash IS NOT NULL
        UNION
        SELECT k.hash
        FROM known n
        CROSS JOIN LATERAL orders_of_key(of_site, n.hash, 10) x
        JOIN orders o ON o.site_id = of_site AND o.order_id = x.order_id AND o.placed_at <= until
        JOIN order_entries e ON e.site_id = of_site AND e.order_id = x.order_id
        CROSS JOIN LATERAL (VALUES (e.phone), (e.email), (e.user_id)) AS k(hash)
        WHERE k.hash IS NOT NULL
    ), keys AS (
        SELECT array_agg(n.hash) AS hashes FROM (SELECT hash FROM known LIMIT 51) n
    )
    SELECT o.order_id, o.visitor_id, o.placed_at, o.joined_by IN ('cookie', 'session', 'visitor'),
           min(CASE WHEN e.email = n.hash THEN 'email' WHEN e.phone = n.hash THEN 'phone' ELSE 'user_id' END)
    FROM keys
    CROSS JOIN LATERAL unnest(keys.hashes) AS n(hash)
    CROSS JOIN LATERAL orders_of_key(of_site, n.hash, 10) x
    JOIN orders o ON o.site_id = of_site AND o.order_id = x.order_id AND o.placed_at <= until
    JOIN order_entries e ON e.site_id = of_site AND e.order_id = x.order_id
                        AND (e.phone = n.hash OR e.email = n.hash OR e.user_id = n.hash)
    WHERE cardinality(keys.hashes) <= 50
    GROUP BY o.order_id, o.visitor_id, o.placed_at, o.joined_by
$$;
COMMENT ON FUNCTION customer_orders IS 'The orders of an order''s customer up to a moment, itself included, as keys connect them.';

-- Touches as attribution sees them for an order of visitor `who`; known_by null: the visitor's own.
CREATE FUNCTION touches_of_order(of_site integer, of_order text, placed timestamptz, who uuid) RETURNS TABLE (
    whose uuid, known_by text, session_id uuid, session_hour timestamptz, visitor_id uuid, evidence bigint, at timestamptz,
    campaign_id bigint, referrer_id bigint
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT b.visitor_id, b.known_by, t.*
    FROM (
        SELECT who AS visitor_id, NULL::text AS known_by
        UNION ALL
        SELECT c.visitor_id, min(c.known_by)
        FROM customer_orders(of_site, of_order, placed) c
        WHERE c.is_direct AND c.visitor_id <> who
        GROUP BY c.visitor_id
    ) b
    CROSS JOIN LATERAL touches_of(b.visitor_id) t
$$;
COMMENT ON FUNCTION touches_of_order IS 'Touches of whoever placed an order: of the visitor it is joined to, and of the customer''s other browsers.';
