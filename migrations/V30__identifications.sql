-- Telephones, e-mails and user ids that visitors gave without an order: when they registered, signed in or left a lead. Such a
-- browser is the customer's whose orders name one of them.
--
-- An identification has a part in customers as an order has (src/ship/customers.rs): what it names together is one customer's,
-- and its visitor is a browser of them. That a browser gave two identifications connects nothing: people share tablets.

CREATE TABLE identifications (
    identification_id bigint      PRIMARY KEY,  -- first 8 bytes of SHA-256 of what follows, as it was told
    site_id           integer     NOT NULL,
    visitor_id        uuid,                     -- null = not known (yet)
    session_id        uuid,                     -- of whose visitor it is, until that is known
    phone             bytea,                    -- keyed hashes
    email             bytea,
    user_id           bytea,
    at                timestamptz NOT NULL,     -- least
    customer          text                      -- computed, as orders.customer; null = of none with orders
);
COMMENT ON TABLE identifications IS 'Who a visitor said to be, other than by an order. Rows go with their visitor.';
CREATE INDEX identifications_phone ON identifications (phone) WHERE phone IS NOT NULL;
CREATE INDEX identifications_email ON identifications (email) WHERE email IS NOT NULL;
CREATE INDEX identifications_user_id ON identifications (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX identifications_visitor ON identifications (visitor_id) WHERE visitor_id IS NOT NULL;
CREATE INDEX identifications_session ON identifications (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX identifications_customer ON identifications (site_id, customer) WHERE customer IS NOT NULL;

COMMENT ON COLUMN orders.customer IS 'The least order_id of all orders of the customer; null when nothing is connected with the order. Computed, never merged.';

-- Orders and identifications, as customers are found by.
CREATE VIEW customer_members AS
SELECT o.site_id, o.order_id, NULL::bigint AS identification_id, o.customer,
       CASE WHEN o.joined_by IN ('cookie', 'session', 'visitor') THEN o.visitor_id END AS browser, k.keys, k.reports
FROM orders o
CROSS JOIN LATERAL (SELECT array_agg(DISTINCT k.hash) AS keys, count(*) AS reports
                    FROM keys_of_order(o.site_id, o.order_id) k) k
UNION ALL
SELECT i.site_id, NULL, i.identification_id, i.customer, i.visitor_id,
       array_remove(ARRAY[i.phone, i.email, i.user_id], NULL), 1
FROM identifications i;
COMMENT ON VIEW customer_members IS 'Orders and identifications: their customer, whose browser they tell of without the customer''s help, their keys (null or empty = none) and reports that name them.';

-- Which reports name a key? As many as may count, and one more.
CREATE FUNCTION reports_of_key(of_site integer, key bytea, most bigint) RETURNS TABLE (order_id text, identification_id bigint)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 2 AS $$
    SELECT x.order_id, x.identification_id
    FROM (
        SELECT e.site_id, e.order_id, NULL::bigint AS identification_id FROM order_entries e WHERE e.phone = key
        UNION ALL
        SELECT e.site_id, e.order_id, NULL FROM order_entries e WHERE e.email = key
        UNION ALL
        SELECT e.site_id, e.order_id, NULL FROM order_entries e WHERE e.user_id = key
        UNION ALL
        SELECT i.site_id, NULL, i.identification_id FROM identifications i
        WHERE i.phone = key OR i.email = key OR i.user_id = key
    ) x
    WHERE x.site_id = of_site
    LIMIT most
$$;
COMMENT ON FUNCTION reports_of_key IS 'Reports of orders, and identifications, that name a telephone, an e-mail or a user id; so many at most.';

CREATE OR REPLACE FUNCTION is_shared_key(of_site integer, key bytea, most_reports integer, most_browsers integer)
RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT count(*) > most_reports OR count(DISTINCT coalesce(i.visitor_id, o.visitor_id)) > most_browsers
    FROM reports_of_key(of_site, key, most_reports + 1) r
    LEFT JOIN identifications i USING (identification_id)
    LEFT JOIN orders o ON o.site_id = of_site AND o.order_id = r.order_id AND o.joined_by IN ('cookie', 'session', 'visitor')
$$;

-- Browsers of an order's customer, by orders that are joined to them without the customer's help, and by identifications.
DROP FUNCTION browsers_of_order(integer, text);
CREATE FUNCTION browsers_of_order(of_site integer, of_order text) RETURNS TABLE (
    visitor_id uuid, placed_at timestamptz, order_id text, identification_id bigint
) LANGUAGE sql STABLE PARALLEL SAFE ROWS 2 AS $$
    SELECT x.visitor_id, x.placed_at, x.order_id, NULL::bigint
    FROM orders o
    JOIN orders x ON x.site_id = o.site_id AND x.customer = o.customer
    WHERE o.site_id = of_site AND o.order_id = of_order AND x.joined_by IN ('cookie', 'session', 'visitor')
    UNION ALL
    SELECT i.visitor_id, NULL, NULL, i.identification_id
    FROM orders o
    JOIN identifications i ON i.site_id = o.site_id AND i.customer = o.customer
    WHERE o.site_id = of_site AND o.order_id = of_order AND i.visitor_id IS NOT NULL
$$;
COMMENT ON FUNCTION browsers_of_order IS 'Browsers of an order''s customer, with the orders and identifications that tell of them.';

CREATE FUNCTION random_id() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT ('x' || right(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint
$$;
COMMENT ON FUNCTION random_id IS 'Replaces the id of an identification whose visitor is forgotten.';
