-- Which orders were ever purchases, whose are they, and which of them are the window's?
--
-- $1–$20   window and filters, $21–$25 money, as report_orders() takes them
-- Rows by time: placed_at timestamptz, chosen boolean (the window's, and passes the filters), keys bytea[] (whatever tells
--       whose it is: hashes of phone, e-mail and user id, the visitor's id; empty = nobody's)
--
-- A purchase is an order of which something is left: net, or with revenue 'paid' what was paid and not refunded. Orders
-- whose value nobody told are purchases, too.
WITH lines AS (
    SELECT o.site_id, o.order_id, true AS chosen
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                   $21, $22, $23, $24, $25) o
    WHERE o.credit > 0
    UNION ALL
    SELECT o.site_id, o.order_id, false
    FROM orders o
    WHERE o.placed_at < $2
      AND ($3::text[] IS NULL OR o.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($3)))
), known AS (
    SELECT l.site_id, l.order_id, bool_or(l.chosen) AS chosen
    FROM lines l
    GROUP BY l.site_id, l.order_id
)
SELECT o.placed_at, k.chosen,
       array_remove(array_append(coalesce(e.keys, '{}'), uuid_send(o.visitor_id)), NULL) AS keys
FROM known k
JOIN orders o ON o.site_id = k.site_id AND o.order_id = k.order_id
LEFT JOIN LATERAL (
    SELECT array_agg(DISTINCT v.kind || v.hash) AS keys
    FROM order_entries x
    CROSS JOIN LATERAL (VALUES ('p'::bytea, x.phone), ('e'::bytea, x.email), ('u'::bytea, x.user_id)) AS v(kind, hash)
    WHERE x.site_id = k.site_id AND x.order_id = k.order_id AND v.hash IS NOT NULL
) e ON true
WHERE CASE WHEN $25 = 'paid' THEN o.paid - o.refunded > 0 ELSE coalesce(o.net > 0, true) END
ORDER BY o.placed_at, o.site_id, o.order_id
