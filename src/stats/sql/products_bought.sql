-- What products were bought in the window, by the positions of its orders?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- Rows by product: site_id integer, product_id, name text; product_key bigint, null when nothing else knows it; purchases bigint
--       (orders with it); quantity, revenue text, exact, the latter null where no price is known; sessions uuid[] whose orders they are
-- and by site, without product_id: left_out bigint, orders whose worth is not known; orders text[] without positions, and sessions whose
--       they are
WITH chosen AS MATERIALIZED (
    SELECT o.site_id, o.order_id, o.session_id, o.counted, o.factor, o.divisor, bool_or(o.revenue > 0) AS earned
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                   $21, $22, $23, $24, $25, $26) o
    WHERE o.credit > 0
    GROUP BY o.site_id, o.order_id, o.session_id, o.counted, o.factor, o.divisor
), positions AS MATERIALIZED (
    SELECT b.site_id, b.order_id, b.session_id, b.counted, b.earned, b.factor, b.divisor, i.product_id, i.name, i.quantity, i.price
    FROM (
        -- Each order's best report of them.
        SELECT DISTINCT ON (c.site_id, c.order_id COLLATE "C") c.*, e.items
        FROM chosen c
        JOIN order_entries e ON e.site_id = c.site_id AND e.order_id = c.order_id AND e.items IS NOT NULL
        ORDER BY c.site_id, c.order_id COLLATE "C", e.kind <> 1, e.way DESC, e.at
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
), of_products AS (
    SELECT b.site_id, b.product_id, max(b.name) AS name, count(*) AS purchases, sum(b.quantity) AS quantity, sum(b.revenue) AS revenue,
           array_agg(DISTINCT b.session_id) FILTER (WHERE b.session_id IS NOT NULL) AS sessions
    FROM bought b
    GROUP BY b.site_id, b.product_id
)
SELECT b.site_id, b.product_id, b.name, p.product_key, b.purchases, b.quantity::text AS quantity, b.revenue::text AS revenue, b.sessions,
       NULL::bigint AS left_out, NULL::text[] AS orders
FROM of_products b
LEFT JOIN products p ON p.site_id = b.site_id AND p.product_id = b.product_id
UNION ALL
SELECT c.site_id, NULL, NULL, NULL, NULL, NULL, NULL, array_agg(c.session_id) FILTER (WHERE c.is_told),
       count(*) FILTER (WHERE NOT c.counted), array_agg(c.order_id) FILTER (WHERE c.is_told)
FROM (
    SELECT c.site_id, c.order_id, c.session_id, c.counted,
           c.session_id IS NOT NULL
           AND NOT EXISTS (SELECT FROM positions i WHERE i.site_id = c.site_id AND i.order_id = c.order_id) AS is_told
    FROM chosen c
) c
GROUP BY c.site_id
