-- A customer's browsers earn orders together: touches of all of them are credited, not only those of the browser that ordered.
--
-- Orders of a site are one customer's that telephones, e-mails and user ids of their reports connect: order and order by a key
-- that both have, key and key by an order that has both. src/ship/customers.rs finds them and says what connects nothing. It
-- is computed, as orders are: from order_entries and from whom a cookie, a session or a visitor's name joins orders to.

ALTER TABLE orders ADD COLUMN customer text;
COMMENT ON COLUMN orders.customer IS 'The least order_id of all orders of the customer; null when it is the only one. Computed, never merged.';
CREATE INDEX orders_customer ON orders (site_id, customer) WHERE customer IS NOT NULL;
CREATE INDEX orders_customer_visitor ON orders (visitor_id) WHERE customer IS NOT NULL;

-- Telephones, e-mails and user ids of an order: one row for each report that names one.
CREATE FUNCTION keys_of_order(of_site integer, of_order text) RETURNS TABLE (kind text, hash bytea)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 2 AS $$
    SELECT k.kind, k.hash
    FROM order_entries e
    CROSS JOIN LATERAL (VALUES ('phone', e.phone), ('email', e.email), ('user_id', e.user_id)) AS k(kind, hash)
    WHERE e.site_id = of_site AND e.order_id = of_order AND k.hash IS NOT NULL
      AND (e.phone IS NOT NULL OR e.email IS NOT NULL OR e.user_id IS NOT NULL)
$$;
COMMENT ON FUNCTION keys_of_order IS 'Keyed hashes of whoever placed an order.';

-- Browsers of an order's customer, by orders that are joined to them without the customer's help.
CREATE FUNCTION browsers_of_order(of_site integer, of_order text) RETURNS TABLE (
    visitor_id uuid, placed_at timestamptz, order_id text
) LANGUAGE sql STABLE PARALLEL SAFE ROWS 2 AS $$
    SELECT x.visitor_id, x.placed_at, x.order_id
    FROM orders o
    JOIN orders x ON x.site_id = o.site_id AND x.customer = o.customer
    WHERE o.site_id = of_site AND o.order_id = of_order AND x.joined_by IN ('cookie', 'session', 'visitor')
$$;
COMMENT ON FUNCTION browsers_of_order IS 'Browsers of an order''s customer, with the orders that tell of them.';

-- Touches as attribution sees them for an order of visitor `who`. What is two browsers' is given once: a cookieless beginning.
CREATE FUNCTION touches_of_order(of_site integer, of_order text, who uuid) RETURNS TABLE (
    whose uuid, session_id uuid, session_hour timestamptz, visitor_id uuid, evidence bigint, at timestamptz,
    campaign_id bigint, referrer_id bigint
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT who, t.* FROM touches_of(who) t
    UNION ALL
    SELECT *
    FROM (
        SELECT DISTINCT ON (t.session_id, t.visitor_id, t.evidence) b.visitor_id AS whose, t.*
        FROM (SELECT DISTINCT x.visitor_id FROM browsers_of_order(of_site, of_order) x WHERE x.visitor_id <> who) b
        CROSS JOIN LATERAL touches_of(b.visitor_id) t
        WHERE NOT EXISTS (SELECT FROM touches_of(who) w
                          WHERE (w.session_id, w.visitor_id, w.evidence) = (t.session_id, t.visitor_id, t.evidence))
        ORDER BY t.session_id, t.visitor_id, t.evidence, b.visitor_id
    ) others
$$;
COMMENT ON FUNCTION touches_of_order IS 'Touches of whoever placed an order: of the visitor it is joined to, and of the customer''s other browsers.';

CREATE FUNCTION is_shared_key(of_site integer, key bytea, most_reports integer, most_browsers integer) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT count(*) > most_reports
           OR count(DISTINCT o.visitor_id) FILTER (WHERE o.joined_by IN ('cookie', 'session', 'visitor')) > most_browsers
    FROM (SELECT e.site_id, e.order_id FROM order_entries e
          WHERE (e.phone = key OR e.email = key OR e.user_id = key) AND e.site_id = of_site
          LIMIT most_reports + 1) e
    JOIN orders o USING (site_id, order_id)
$$;
COMMENT ON FUNCTION is_shared_key IS 'Whether a telephone, an e-mail or a user id is too many people''s to be one customer''s.';
