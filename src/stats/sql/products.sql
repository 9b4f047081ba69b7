-- How often was each product seen, put into the cart and bought?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- $27 text    column to sort by, $28 boolean least first
-- $29 bigint  rows to pass over, $30 bigint rows to give
-- Rows: part 'row' in order, then 'other' (products not given), then 'total'; site, product_id, name text;
--       views, cart_adds, cart_removes, purchases, quantity bigint; revenue text, null where no price is known;
--       visits that viewed, viewed_carted, carted, carted_bought, viewed_bought bigint; products, left_out bigint
--
-- Views and carts are those of the window's sessions. Purchases are the window's orders, whole: by their positions, else by
-- the products that purchases name.
--
-- What was done is counted by keys of products; of the few visits with a purchase it is looked at once more, whether the other was
-- there, too.
WITH counted AS MATERIALIZED (
    SELECT s.session_id, s.visitor_id, s.began_at < s.started_at AS continues
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
), visits AS (
    SELECT c.session_id AS visit_id, c.session_id
    FROM counted c
    UNION ALL
    SELECT c.session_id, l.cookieless_session_id
    FROM counted c
    CROSS JOIN LATERAL (
        SELECT x.cookieless_session_id
        FROM session_links x
        WHERE x.visitor_id = c.visitor_id AND x.session_id = c.session_id
        LIMIT 1
    ) l
    WHERE c.continues
), chosen AS MATERIALIZED (
    SELECT o.site_id, o.order_id, o.session_id, o.counted, o.factor, o.divisor, bool_or(o.revenue > 0) AS earned
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                   $21, $22, $23, $24, $25, $26) o
    WHERE o.credit > 0
    GROUP BY o.site_id, o.order_id, o.session_id, o.counted, o.factor, o.divisor
), positions AS MATERIALIZED (
    SELECT c.site_id, c.order_id, c.session_id, c.counted, c.earned, c.factor, c.divisor, i.product_id, i.name, i.quantity, i.price
    FROM chosen c
    CROSS JOIN LATERAL (
        SELECT e.items
        FROM order_entries e
        WHERE e.site_id = c.site_id AND e.order_id = c.order_id AND e.items IS NOT NULL
        ORDER BY e.kind <> 1, e.way DESC, e.at
        LIMIT 1
    ) b
    CROSS JOIN LATERAL (
        SELECT p.position ->> 'product_id' AS product_id, p.position ->> 'name' AS name,
               CASE WHEN p.position ->> 'quantity' ~ '^[0-9]{1,12}([.][0-9]{1,12})?$'
                    THEN (p.position ->> 'quantity')::numeric ELSE 1 END AS quantity,
               CASE WHEN p.position ->> 'price' ~ '^[0-9]{1,15}([.][0-9]{1,12})?$'
                    THEN (p.position ->> 'price')::numeric END AS price
        FROM jsonb_array_elements(CASE jsonb_typeof(b.items) WHEN 'array' THEN b.items ELSE '[]' END) AS p(position)
        WHERE p.position ->> 'product_id' IS NOT NULL
    ) i
), told AS MATERIALIZED (
    -- Two days leave room for sessions that began long before they did anything.
    SELECT e.session_id, e.order_id, e.at, e.product_key, e.kind_id
    FROM events e
    WHERE e.product_key IS NOT NULL AND ($1 IS NULL OR e.at >= $1 - interval '2 days') AND e.at < $2 + interval '2 days'
      AND e.kind_id = ANY (ARRAY(SELECT k.kind_id FROM action_kinds k
                                 WHERE k.name IN ('product_view', 'add_to_cart', 'remove_from_cart', 'purchase')))
), done AS MATERIALIZED (
    SELECT v.visit_id, e.product_key,
           count(*) FILTER (WHERE e.kind_id = (SELECT k.kind_id FROM action_kinds k WHERE k.name = 'product_view')) AS views,
           count(*) FILTER (WHERE e.kind_id = (SELECT k.kind_id FROM action_kinds k WHERE k.name = 'add_to_cart')) AS adds,
           count(*) FILTER (WHERE e.kind_id = (SELECT k.kind_id FROM action_kinds k WHERE k.name = 'remove_from_cart')) AS removes
    FROM told e
    JOIN visits v ON v.session_id = e.session_id
    WHERE e.kind_id <> coalesce((SELECT k.kind_id FROM action_kinds k WHERE k.name = 'purchase'), -1)
    GROUP BY v.visit_id, e.product_key
), bought AS (
    SELECT i.session_id, i.site_id, i.product_id, max(i.name) AS name, i.order_id, sum(i.quantity) AS quantity,
           worth(sum(i.quantity * i.price) FILTER (WHERE i.counted AND i.earned), false, i.factor, i.divisor, $24) AS revenue
    FROM positions i
    GROUP BY i.session_id, i.site_id, i.product_id, i.order_id, i.factor, i.divisor
    UNION ALL
    SELECT n.session_id, p.site_id, p.product_id, max(p.name), n.order_id, 1, NULL
    FROM (
        SELECT c.session_id, c.order_id, e.product_key
        FROM told e
        JOIN chosen c ON c.session_id = e.session_id AND c.order_id = e.order_id
        WHERE e.kind_id = (SELECT k.kind_id FROM action_kinds k WHERE k.name = 'purchase') AND e.at >= hour_of(c.session_id)
          AND ($1 IS NULL OR hour_of(c.session_id) >= $1 - interval '2 days')
          AND NOT EXISTS (SELECT FROM positions i WHERE i.site_id = c.site_id AND i.order_id = c.order_id)
        UNION ALL
        -- Of sessions that were over long before the window: few.
        SELECT c.session_id, c.order_id, e.product_key
        FROM chosen c
        CROSS JOIN LATERAL (
            SELECT x.kind_id, x.product_key
            FROM events x
            WHERE x.session_id = c.session_id AND x.order_id = c.order_id
              AND x.at >= hour_of(c.session_id) AND x.at < $2 + interval '2 days'
            OFFSET 0
        ) e
        WHERE hour_of(c.session_id) < $1 - interval '2 days'
          AND e.kind_id = (SELECT k.kind_id FROM action_kinds k WHERE k.name = 'purchase')
          AND NOT EXISTS (SELECT FROM positions i WHERE i.site_id = c.site_id AND i.order_id = c.order_id)
    ) n
    JOIN products p ON p.product_key = n.product_key
    GROUP BY n.session_id, p.site_id, p.product_id, n.order_id
), visited AS (
    -- One row for each visit and product that it bought.
    SELECT b.session_id, b.site_id, b.product_id, max(b.name) AS name, count(*) AS purchases, sum(b.quantity) AS quantity,
           sum(b.revenue) AS revenue
    FROM bought b
    GROUP BY b.session_id, b.site_id, b.product_id
), lines AS (
    SELECT p.site_id, p.product_id, p.name, d.views, d.adds, d.removes, 0 AS purchases, 0::numeric AS quantity,
           NULL::numeric AS revenue, d.viewed, d.viewed_carted, d.carted, 0 AS carted_bought, 0 AS viewed_bought
    FROM (
        SELECT x.product_key, sum(x.views) AS views, sum(x.adds) AS adds, sum(x.removes) AS removes,
               count(*) FILTER (WHERE x.views > 0) AS viewed,
               count(*) FILTER (WHERE x.views > 0 AND x.adds > 0) AS viewed_carted,
               count(*) FILTER (WHERE x.adds > 0) AS carted
        FROM done x
        GROUP BY x.product_key
    ) d
    JOIN products p ON p.product_key = d.product_key
    UNION ALL
    SELECT v.site_id, v.product_id, v.name, 0, 0, 0, v.purchases, v.quantity, v.revenue, 0, 0, 0,
           (d.adds > 0)::integer, (d.views > 0)::integer
    FROM visited v
    LEFT JOIN products p ON p.site_id = v.site_id AND p.product_id = v.product_id
    LEFT JOIN done d ON d.visit_id = v.session_id AND d.product_key = p.product_key
), groups AS (
    SELECT l.site_id, l.product_id, max(l.name) AS name, sum(l.views) AS views, sum(l.adds) AS adds, sum(l.removes) AS removes,
           sum(l.purchases) AS purchases, sum(l.quantity) AS quantity, sum(l.revenue) AS revenue, sum(l.viewed) AS viewed,
           sum(l.viewed_carted) AS viewed_carted, sum(l.carted) AS carted, coalesce(sum(l.carted_bought), 0) AS carted_bought,
           coalesce(sum(l.viewed_bought), 0) AS viewed_bought
    FROM lines l
    GROUP BY l.site_id, l.product_id
), ranked AS (
    SELECT g.*, n.name AS site,
           row_number() OVER (
               ORDER BY CASE WHEN $28::boolean THEN 1 ELSE -1 END
                        * CASE $27::text WHEN 'cart_adds' THEN g.adds
                                         WHEN 'purchases' THEN g.purchases
                                         WHEN 'revenue' THEN g.revenue
                                         WHEN 'view_to_cart_rate' THEN g.viewed_carted::numeric / nullif(g.viewed, 0)
                                         WHEN 'cart_to_purchase_rate' THEN g.carted_bought::numeric / nullif(g.carted, 0)
                                         WHEN 'view_to_purchase_rate' THEN g.viewed_bought::numeric / nullif(g.viewed, 0)
                                         ELSE g.views END NULLS LAST,
                        g.views DESC, g.purchases DESC, g.site_id, g.product_id) AS place
    FROM groups g
    LEFT JOIN sites n ON n.site_id = g.site_id
), parts AS (
    SELECT 'row' AS part, r.place, r.site, r.product_id, r.name, r.views, r.adds, r.removes, r.purchases, r.quantity,
           r.revenue, r.viewed, r.viewed_carted, r.carted, r.carted_bought, r.viewed_bought, 1::bigint AS products
    FROM ranked r
    WHERE r.place > $29::bigint AND r.place <= $29 + $30::bigint
    UNION ALL
    SELECT 'other', NULL, NULL, NULL, NULL, sum(r.views), sum(r.adds), sum(r.removes), sum(r.purchases), sum(r.quantity),
           sum(r.revenue), sum(r.viewed), sum(r.viewed_carted), sum(r.carted), sum(r.carted_bought), sum(r.viewed_bought),
           count(*)
    FROM ranked r
    WHERE r.place <= $29 OR r.place > $29 + $30
    UNION ALL
    SELECT 'total', NULL, NULL, NULL, NULL, sum(r.views), sum(r.adds), sum(r.removes), sum(r.purchases), sum(r.quantity),
           sum(r.revenue), sum(r.viewed), sum(r.viewed_carted), sum(r.carted), sum(r.carted_bought), sum(r.viewed_bought),
           count(*)
    FROM ranked r
)
SELECT p.part, p.site, p.product_id, p.name, coalesce(p.views, 0)::bigint AS views, coalesce(p.adds, 0)::bigint AS cart_adds,
       coalesce(p.removes, 0)::bigint AS cart_removes, coalesce(p.purchases, 0)::bigint AS purchases,
       coalesce(p.quantity, 0)::text AS quantity, round(p.revenue, $24)::text AS revenue,
       coalesce(p.viewed, 0)::bigint AS viewed, coalesce(p.viewed_carted, 0)::bigint AS viewed_carted,
       coalesce(p.carted, 0)::bigint AS carted, coalesce(p.carted_bought, 0)::bigint AS carted_bought,
       coalesce(p.viewed_bought, 0)::bigint AS viewed_bought, p.products,
       (SELECT count(*) FROM chosen c WHERE NOT c.counted) AS left_out
FROM parts p
ORDER BY CASE p.part WHEN 'row' THEN 1 WHEN 'other' THEN 2 ELSE 3 END, p.place
