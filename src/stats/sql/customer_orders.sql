-- Which orders were ever purchases, whose are they, and which of them are the window's?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- Rows by time: placed_at timestamptz, chosen boolean (the window's, and passes the filters), keys bytea[] (whatever tells
--       whose it is: hashes of phone, e-mail and user id, the visitor's id; empty = nobody's)
--
-- A purchase is an order of which something is left: net, or with revenue 'paid' what was paid and not refunded. Orders
-- whose value nobody told are purchases, too. All are read at once: full joins are hashed, however little the planner knows.
WITH chosen AS (
    SELECT o.site_id, o.order_id
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                   $21, $22, $23, $24, $25, $26) o
    WHERE o.credit > 0
      AND ($21 = 'session' OR $4 = 'only'
           OR num_nonnulls($5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) > 0)
    GROUP BY o.site_id, o.order_id
    UNION ALL
    -- Where there is no filter that touches or sessions must pass, credits are not looked at.
    SELECT o.site_id, o.order_id
    FROM orders o
    WHERE ($1::timestamptz IS NULL OR o.placed_at >= $1) AND o.placed_at < $2
      AND ($3::text[] IS NULL OR o.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($3)))
      AND $21 <> 'session' AND $4 <> 'only'
      AND num_nonnulls($5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) = 0
), told AS (
    SELECT x.site_id, x.order_id, array_agg(v.kind || v.hash) AS keys
    FROM order_entries x
    CROSS JOIN LATERAL (VALUES ('p'::bytea, x.phone), ('e'::bytea, x.email), ('u'::bytea, x.user_id)) AS v(kind, hash)
    WHERE (x.phone IS NOT NULL OR x.email IS NOT NULL OR x.user_id IS NOT NULL) AND v.hash IS NOT NULL
    GROUP BY x.site_id, x.order_id
), known AS (
    SELECT o.site_id, o.order_id, o.placed_at, o.visitor_id, c.order_id IS NOT NULL AS chosen, t.keys,
           CASE WHEN $25 = 'paid' THEN o.paid - o.refunded > 0 ELSE coalesce(o.net > 0, true) END AS is_purchase
    FROM orders o
    FULL JOIN chosen c ON c.site_id = o.site_id AND c.order_id = o.order_id
    FULL JOIN told t ON t.site_id = o.site_id AND t.order_id = o.order_id
    OFFSET 0
)
SELECT k.placed_at, k.chosen, array_remove(array_append(coalesce(k.keys, '{}'), uuid_send(k.visitor_id)), NULL) AS keys
FROM known k
WHERE k.is_purchase AND k.placed_at IS NOT NULL
  AND (k.chosen OR k.placed_at < $2
                   AND ($3::text[] IS NULL OR k.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($3))))
ORDER BY k.placed_at, k.site_id, k.order_id
