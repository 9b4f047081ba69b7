-- Which orders of the window can Google Ads be told of, and by which click?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- $27 text  name of the conversion
-- Rows by time: columns of Google's template for conversions from clicks
--
-- The click is the last one before the order that has an id of Google's, within the 90 days that Google takes: one that the
-- shop told of with the order, else one of the customer's browsers. Ids that were cut are none.
SELECT k.gclid AS "Google Click ID", k.gbraid AS "GBRAID", k.wbraid AS "WBRAID", $27::text AS "Conversion Name",
       to_char(p.placed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00:00' AS "Conversion Time",
       coalesce(p.net, p.gross)::text AS "Conversion Value", p.currency AS "Conversion Currency", p.order_id AS "Order ID"
FROM (
    SELECT DISTINCT o.site_id, o.order_id
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                   $21, $22, $23, $24, $25, $26) o
    WHERE o.credit > 0
) c
JOIN orders p ON p.site_id = c.site_id AND p.order_id = c.order_id
CROSS JOIN LATERAL (
    SELECT i.ids ->> 'gclid' AS gclid,
           CASE WHEN NOT i.ids ? 'gclid' THEN i.ids ->> 'gbraid' END AS gbraid,
           CASE WHEN NOT i.ids ?| ARRAY['gclid', 'gbraid'] THEN i.ids ->> 'wbraid' END AS wbraid
    FROM (
        SELECT e.click_ids AS ids, e.at, 1 AS rank
        FROM order_entries e
        WHERE e.site_id = p.site_id AND e.order_id = p.order_id
        UNION ALL
        SELECT x.click_ids, t.at, 2
        FROM touches_of_order(p.site_id, p.order_id, p.visitor_id) t
        JOIN touches x ON x.session_id = t.session_id AND x.session_hour = t.session_hour AND x.visitor_id = t.visitor_id
                      AND x.evidence = t.evidence
        WHERE t.at <= p.placed_at AND t.at > p.placed_at - interval '2160 hours' AND x.flags & 8 = 0
    ) i
    WHERE i.ids ?| ARRAY['gclid', 'gbraid', 'wbraid']
    ORDER BY i.rank, i.at DESC
    LIMIT 1
) k
WHERE coalesce(p.net, p.gross, 0) > 0 AND p.forgotten_at IS NULL
ORDER BY p.placed_at, p.site_id, p.order_id
