-- What products were bought in the window?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- Rows: site_id integer, product_id, name text, product_key bigint, null when nothing else knows it; purchases bigint (orders with it);
--       quantity, revenue text, exact, the latter null where no price is known; sessions uuid[] whose orders they are, null: of none.
--       The last row has left_out bigint, orders whose worth is not known, and no product.
--
-- Purchases are the window's orders, whole: by their positions, else by the products that purchases name.
WITH chosen AS MATERIALIZED (
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
), bought AS (
    SELECT i.session_id, i.site_id, i.product_id, max(i.name) AS name, i.order_id, sum(i.quantity) AS quantity,
           worth(sum(i.quantity * i.price) FILTER (WHERE i.counted AND i.earned), false, i.factor, i.divisor, $24) AS revenue
    FROM positions i
    GROUP BY i.session_id, i.site_id, i.product_id, i.order_id, i.factor, i.divisor
    UNION ALL
    SELECT n.session_id, p.site_id, p.product_id, max(p.name), n.order_id, 1, NULL
    FROM (
        SELECT c.session_id, c.order_id, e.product_key
        FROM chosen c
        CROSS JOIN LATERAL (
            SELECT x.kind_id, x.product_key
            FROM events x
            WHERE x.session_id = c.session_id AND x.order_id = c.order_id
              AND x.at >= hour_of(c.session_id) AND x.at < $2 + interval '2 days'
            OFFSET 0
        ) e
        WHERE e.kind_id = (SELECT k.kind_id FROM action_kinds k WHERE k.name = 'purchase')
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
)
SELECT v.site_id, v.product_id, max(v.name) AS name, p.product_key, sum(v.purchases)::bigint AS purchases,
       sum(v.quantity)::text AS quantity, sum(v.revenue)::text AS revenue,
       array_agg(v.session_id) FILTER (WHERE v.session_id IS NOT NULL) AS sessions, NULL::bigint AS left_out
FROM visited v
LEFT JOIN products p ON p.site_id = v.site_id AND p.product_id = v.product_id
GROUP BY v.site_id, v.product_id, p.product_key
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, (SELECT count(*) FROM chosen c WHERE NOT c.counted)
