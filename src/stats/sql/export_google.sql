-- Of which of these orders can Google Ads be told, and by which click?
--
-- $1 timestamptz[] placed_at of each, by time, $2 bigint[] which of the orders of that time it is, by site and id, from 1
-- $3, $4 timestamptz  the first and the last of these times
-- $5 timestamptz  the earliest hour, $6 timestamptz  the first hour after those of sessions whose touches may count: the planner leaves
--   other months alone
-- $7 text  name of the conversion
-- Rows by time: columns of Google's template for conversions from clicks
--
-- The click is the last one before the order that has an id of Google's, within the 90 days that Google takes: one that the
-- shop told of with the order, else one of the customer's browsers. Ids that were cut are none.
WITH told AS MATERIALIZED (
    SELECT o.*, row_number() OVER (ORDER BY o.placed_at, o.turn) AS number
    FROM (
        SELECT x.placed_at, x.site_id, x.order_id, x.visitor_id, x.customer, x.currency, coalesce(x.net, x.gross) AS value, x.forgotten_at,
               row_number() OVER (PARTITION BY x.placed_at ORDER BY x.site_id, x.order_id) AS turn
        FROM orders x
        WHERE x.placed_at BETWEEN $3::timestamptz AND $4::timestamptz
    ) o
    JOIN unnest($1::timestamptz[], $2::bigint[]) AS c(placed_at, turn) ON c.placed_at = o.placed_at AND c.turn = o.turn
    WHERE o.value > 0 AND o.forgotten_at IS NULL
), entries AS MATERIALIZED (
    SELECT t.number, t.site_id, e.*
    FROM told t
    CROSS JOIN LATERAL (
        SELECT x.kind, x.reference, x.way, x.at, x.click_ids, x.phone, x.email, x.user_id
        FROM order_entries x
        WHERE x.site_id = t.site_id AND x.order_id = t.order_id
        OFFSET 0
    ) e
    WHERE num_nonnulls(e.click_ids, e.phone, e.email, e.user_id) > 0
), browsers AS MATERIALIZED (
    SELECT t.number, t.placed_at, t.visitor_id
    FROM told t
    WHERE t.visitor_id IS NOT NULL
    UNION ALL
    -- Most customers have one browser: the others' are looked up where there is something by which to find them.
    SELECT f.number, f.placed_at, b.visitor_id
    FROM (
        SELECT t.number, t.placed_at, t.site_id, t.order_id, t.visitor_id
        FROM told t
        WHERE t.visitor_id IS NOT NULL
          AND (t.customer IS NOT NULL
               OR t.number IN (SELECT e.number
                               FROM entries e
                               CROSS JOIN LATERAL (VALUES (e.phone), (e.email), (e.user_id)) AS k(hash)
                               JOIN identifications i ON i.site_id = e.site_id AND i.hash = k.hash))
        OFFSET 0
    ) f
    CROSS JOIN LATERAL browsers_of_order(f.site_id, f.order_id) b
    WHERE b.visitor_id <> f.visitor_id
), clicks AS (
    SELECT e.number, e.click_ids AS ids, 1 AS rank, e.at, e.kind, e.reference, e.way, NULL::uuid AS session_id, NULL::bigint AS evidence
    FROM entries e
    UNION ALL
    SELECT b.number, t.click_ids, 2, t.at, NULL, NULL, NULL, t.session_id, t.evidence
    FROM browsers b
    JOIN touches t ON t.visitor_id = b.visitor_id AND t.at <= b.placed_at AND t.at > b.placed_at - interval '2160 hours'
    WHERE t.session_hour >= $5::timestamptz AND t.session_hour < $6::timestamptz AND t.flags & 8 = 0
    UNION ALL
    SELECT b.number, t.click_ids, 2, t.at, NULL, NULL, NULL, t.session_id, t.evidence
    FROM (
        SELECT b.number, b.placed_at, b.visitor_id
        FROM browsers b
        JOIN visitors v ON v.visitor_id = b.visitor_id AND v.minted_from IS NOT NULL
        OFFSET 0
    ) b
    JOIN session_links l ON l.visitor_id = b.visitor_id
    JOIN touches t ON t.visitor_id = l.cookieless_id AND t.session_id = l.cookieless_session_id AND t.session_hour = l.cookieless_hour
                  AND t.at <= l.minted_at AND t.at <= b.placed_at AND t.at > b.placed_at - interval '2160 hours'
    WHERE t.session_hour >= $5 AND t.session_hour < $6 AND l.cookieless_hour >= $5 AND l.cookieless_hour < $6 AND t.flags & 8 = 0
)
SELECT k.gclid AS "Google Click ID", k.gbraid AS "GBRAID", k.wbraid AS "WBRAID", $7::text AS "Conversion Name",
       to_char(t.placed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00:00' AS "Conversion Time",
       t.value::text AS "Conversion Value", t.currency AS "Conversion Currency", t.order_id AS "Order ID"
FROM told t
JOIN (
    SELECT DISTINCT ON (c.number) c.number, c.ids ->> 'gclid' AS gclid,
           CASE WHEN NOT c.ids ? 'gclid' THEN c.ids ->> 'gbraid' END AS gbraid,
           CASE WHEN NOT c.ids ?| ARRAY['gclid', 'gbraid'] THEN c.ids ->> 'wbraid' END AS wbraid
    FROM clicks c
    WHERE c.ids ?| ARRAY['gclid', 'gbraid', 'wbraid']
    ORDER BY c.number, c.rank, c.at DESC, c.kind, c.reference, c.way, c.session_id, c.evidence
) k ON k.number = t.number
ORDER BY t.number
