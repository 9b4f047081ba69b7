-- What was bought with the orders of some days, by their positions, as order_columns has it.
-- $1 days, $2 the first and $3 the first instant after placed_at, null: whenever
-- → site_id, order_id, session_id, session_hour; of the products of its positions product_ids, product_names, quantities and amounts text[],
--   the last two decimal, null without
SELECT o.site_id, o.order_id, o.session_id, hour_of(o.session_id) AS session_hour, p.product_ids, p.product_names, p.quantities, p.amounts
FROM unnest($1::timestamptz[]) AS d(order_day)
CROSS JOIN LATERAL (
    SELECT x.site_id, x.order_id, x.session_id
    FROM orders x
    WHERE x.placed_at >= greatest(d.order_day, $2::timestamptz)
      AND x.placed_at < least(d.order_day + interval '24 hours', $3::timestamptz)
    OFFSET 0
) o
LEFT JOIN LATERAL (
    SELECT array_agg(b.product_id) AS product_ids, array_agg(b.name) AS product_names, array_agg(b.quantity) AS quantities,
           array_agg(b.amount) AS amounts
    FROM (
        SELECT i.product_id, max(i.name) AS name, sum(i.quantity)::text AS quantity,
               trim_scale(sum(i.quantity * i.price))::text AS amount
        FROM (
            -- Each order's best report of them.
            SELECT r.items
            FROM order_entries r
            WHERE r.site_id = o.site_id AND r.order_id = o.order_id AND r.items IS NOT NULL
            ORDER BY r.kind <> 1, r.way DESC, r.at, r.kind, r.reference
            LIMIT 1
        ) best
        CROSS JOIN LATERAL (
            SELECT j.position ->> 'product_id' AS product_id, j.position ->> 'name' AS name,
                   CASE WHEN j.position ->> 'quantity' ~ '^[0-9]{1,12}([.][0-9]{1,12})?$'
                        THEN (j.position ->> 'quantity')::numeric ELSE 1 END AS quantity,
                   CASE WHEN j.position ->> 'price' ~ '^[0-9]{1,15}([.][0-9]{1,12})?$'
                        THEN (j.position ->> 'price')::numeric END AS price
            FROM jsonb_array_elements(CASE jsonb_typeof(best.items) WHEN 'array' THEN best.items ELSE '[]' END) AS j(position)
        ) i
        WHERE i.product_id IS NOT NULL
        GROUP BY i.product_id
    ) b
    OFFSET 0
) p ON true
