-- Of which of these orders can Meta be told, and by what?
--
-- $1–$6   orders and their touches, as export_google.sql takes them
-- Rows by time: fields of Meta's Conversions API
--
-- fbc is the cookie as last seen in the order's session or in that of the click, else what it would be by the click (the last
-- one before the order with an fbclid, within 90 days); fbp is the cookie. external_id is the keyed hash of the user id, the
-- e-mail or the phone: only this program can make it, so that it tells Meta no more than that two orders are one customer's.
WITH told AS MATERIALIZED (
    SELECT o.*, row_number() OVER (ORDER BY o.placed_at, o.turn) AS number
    FROM (
        SELECT x.placed_at, x.site_id, x.order_id, x.visitor_id, x.session_id, x.customer, x.currency, coalesce(x.net, x.gross) AS value,
               x.forgotten_at, row_number() OVER (PARTITION BY x.placed_at ORDER BY x.site_id, x.order_id) AS turn
        FROM orders x
        WHERE x.placed_at BETWEEN $3::timestamptz AND $4::timestamptz
    ) o
    JOIN unnest($1::timestamptz[], $2::bigint[]) AS c(placed_at, turn) ON c.placed_at = o.placed_at AND c.turn = o.turn
    WHERE o.value > 0 AND o.forgotten_at IS NULL
), entries AS MATERIALIZED (
    SELECT t.number, t.site_id, e.*
    FROM told t
    CROSS JOIN LATERAL (
        SELECT x.kind, x.reference, x.way, x.at, x.phone, x.email, x.user_id
        FROM order_entries x
        WHERE x.site_id = t.site_id AND x.order_id = t.order_id
        OFFSET 0
    ) e
    WHERE num_nonnulls(e.phone, e.email, e.user_id) > 0
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
), clicks AS MATERIALIZED (
    SELECT DISTINCT ON (c.number) c.number, c.session_id, c.at, c.ids ->> 'fbclid' AS fbclid
    FROM (
        SELECT b.number, t.session_id, t.at, t.evidence, t.click_ids AS ids
        FROM browsers b
        JOIN touches t ON t.visitor_id = b.visitor_id AND t.at <= b.placed_at AND t.at > b.placed_at - interval '2160 hours'
        WHERE t.session_hour >= $5::timestamptz AND t.session_hour < $6::timestamptz AND t.flags & 8 = 0
        UNION ALL
        SELECT b.number, t.session_id, t.at, t.evidence, t.click_ids
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
    ) c
    WHERE c.ids ? 'fbclid'
    ORDER BY c.number, c.at DESC, c.session_id, c.evidence
), cookies AS (
    SELECT s.number, (array_agg(x.value ORDER BY x.at DESC) FILTER (WHERE x.name = '_fbc'))[1] AS fbc,
           (array_agg(x.value ORDER BY x.at DESC) FILTER (WHERE x.name = '_fbp'))[1] AS fbp
    FROM (
        SELECT t.number, t.session_id FROM told t WHERE t.session_id IS NOT NULL
        UNION
        SELECT c.number, c.session_id FROM clicks c
    ) s
    CROSS JOIN LATERAL (
        SELECT x.name, x.value, x.at
        FROM session_cookies x
        WHERE x.session_id = s.session_id AND x.session_hour = hour_of(s.session_id)
        OFFSET 0
    ) x
    GROUP BY s.number
), customers AS (
    SELECT DISTINCT ON (e.number) e.number, coalesce(e.user_id, e.email, e.phone) AS hash
    FROM entries e
    ORDER BY e.number, e.user_id IS NULL, e.email IS NULL, e.at, e.kind, e.reference, e.way
)
SELECT 'Purchase' AS event_name, extract(epoch FROM t.placed_at)::bigint AS event_time, t.order_id AS event_id,
       'website' AS action_source,
       coalesce(b.fbc, 'fb.1.' || (extract(epoch FROM k.at) * 1000)::bigint || '.' || k.fbclid) AS fbc, b.fbp,
       encode(h.hash, 'hex') AS external_id, t.value::text AS value, t.currency
FROM told t
LEFT JOIN clicks k ON k.number = t.number
LEFT JOIN cookies b ON b.number = t.number
LEFT JOIN customers h ON h.number = t.number
WHERE b.fbc IS NOT NULL OR b.fbp IS NOT NULL OR k.fbclid IS NOT NULL OR h.hash IS NOT NULL
ORDER BY t.number
