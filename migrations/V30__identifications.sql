-- Telephones, e-mails and user ids that visitors gave without an order: when they registered, signed in or left a lead. Such a
-- browser is the customer's whose orders name one of them, too.
--
-- It connects a browser with a key and no keys with each other: anybody may type anything into a form. For the same reason it
-- is believed within bounds, whatever came first: a browser that gave more than 10 keys identifies nobody, and of a key that
-- more than 10 browsers gave none is the customer's. Neither changes what orders connect (src/ship/customers.rs).

CREATE TABLE identifications (
    site_id    integer     NOT NULL,
    hash       bytea       NOT NULL,            -- keyed hash
    subject    uuid        NOT NULL,            -- the visitor; or the session whose visitor it is, until that is known
    kind       text        NOT NULL,            -- phone, email, user_id
    is_session boolean     NOT NULL,
    is_browser boolean     NOT NULL,            -- counts as a browser: whoever has no cookie is somebody else each day
    at         timestamptz NOT NULL,            -- least
    PRIMARY KEY (site_id, hash, subject)
);
COMMENT ON TABLE identifications IS 'Who visitors said to be, other than by an order. Rows go with their visitors.';
CREATE INDEX identifications_subject ON identifications (subject);

-- Visitors who gave a key, where it and they are believed.
CREATE FUNCTION identified_by(of_site integer, key bytea) RETURNS TABLE (visitor_id uuid)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 AS $$
    SELECT g.subject
    FROM (
        SELECT i.subject, count(*) OVER () AS given, count(*) FILTER (WHERE i.is_browser) OVER () AS browsers
        FROM (SELECT x.subject, x.is_browser FROM identifications x
              WHERE x.site_id = of_site AND x.hash = key AND NOT x.is_session LIMIT 201) i
    ) g
    WHERE g.given <= 200 AND g.browsers <= 10
      AND (SELECT count(*) FROM (SELECT FROM identifications o WHERE o.subject = g.subject LIMIT 11) o) <= 10
$$;
COMMENT ON FUNCTION identified_by IS 'Whose a telephone, an e-mail or a user id is, by what visitors said other than by an order.';

-- Orders that name a key, unless it is too many people's.
CREATE FUNCTION orders_of_key(of_site integer, key bytea) RETURNS TABLE (site_id integer, order_id text)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 2 AS $$
    SELECT DISTINCT r.site_id, r.order_id
    FROM (
        SELECT e.site_id, e.order_id, count(*) OVER () AS reports
        FROM (
            SELECT p.site_id, p.order_id FROM order_entries p WHERE p.phone = key AND p.site_id = of_site
            UNION ALL
            SELECT m.site_id, m.order_id FROM order_entries m WHERE m.email = key AND m.site_id = of_site
            UNION ALL
            SELECT u.site_id, u.order_id FROM order_entries u WHERE u.user_id = key AND u.site_id = of_site
            LIMIT 201
        ) e
    ) r
    WHERE r.reports <= 200
$$;
COMMENT ON FUNCTION orders_of_key IS 'Orders whose reports name a telephone, an e-mail or a user id.';

-- Orders that name keys of visitors, and those of the same customers.
CREATE FUNCTION orders_of_identified(visitors uuid[]) RETURNS TABLE (site_id integer, order_id text)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 2 AS $$
    WITH named AS MATERIALIZED (
        SELECT DISTINCT k.site_id, k.order_id
        FROM unnest(visitors) AS v(visitor_id)
        CROSS JOIN LATERAL (SELECT i.site_id, i.hash FROM identifications i WHERE i.subject = v.visitor_id LIMIT 11) i
        CROSS JOIN LATERAL orders_of_key(i.site_id, i.hash) k
    )
    SELECT n.site_id, n.order_id FROM named n
    UNION
    SELECT x.site_id, x.order_id
    FROM named n
    CROSS JOIN LATERAL (SELECT o.customer FROM orders o WHERE o.site_id = n.site_id AND o.order_id = n.order_id OFFSET 0) o
    CROSS JOIN LATERAL (SELECT x.site_id, x.order_id FROM orders x
                        WHERE x.site_id = n.site_id AND x.customer = o.customer OFFSET 0) x
$$;
COMMENT ON FUNCTION orders_of_identified IS 'Orders that may be credited to what brought these visitors, by keys that they gave.';

-- Browsers of an order's customer: by orders that are joined to them without the customer's help, and by what they gave.
DROP FUNCTION browsers_of_order(integer, text);
CREATE FUNCTION browsers_of_order(of_site integer, of_order text) RETURNS TABLE (
    visitor_id uuid, placed_at timestamptz, order_id text, kind text
) LANGUAGE sql STABLE PARALLEL SAFE ROWS 2 AS $$
    SELECT x.visitor_id, x.placed_at, x.order_id, NULL
    FROM orders o
    JOIN orders x ON x.site_id = o.site_id AND x.customer = o.customer
    WHERE o.site_id = of_site AND o.order_id = of_order AND x.joined_by IN ('cookie', 'session', 'visitor')
    UNION ALL
    SELECT i.visitor_id, NULL, NULL, k.kind
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
    WHERE NOT is_shared_key(of_site, k.hash, 200, 10)
$$;
COMMENT ON FUNCTION browsers_of_order IS 'Browsers of an order''s customer, with the orders that tell of them, or the kind of key that they gave.';
