-- Which acquisition evidence is there of whoever placed an order: of the visitor it is joined to, that of a visit before the
-- cookie included, and of the customer's other browsers but for those that are forgotten?
--
-- $1 integer site id, $2 text order id, $3 uuid visitor id, $4 bigint rows to give, $5 integer reports, $6 integer browsers that
-- a key may have
-- Rows by time: columns of touch_details; bot, excluded boolean of the session; known_by text (the first kind of key that orders
--               of the browser have in common with others of the customer, or that was given in it; null = the visitor's own)
WITH browser AS MATERIALIZED (
    SELECT k.visitor_id, min(k.kind) AS known_by
    FROM (
        SELECT x.visitor_id, k.kind
        FROM browsers_of_order($1::integer, $2::text) x
        CROSS JOIN LATERAL keys_of_order($1, x.order_id) k
        WHERE x.visitor_id <> $3::uuid
          AND EXISTS (
              SELECT
              FROM orders o JOIN orders other ON other.site_id = o.site_id AND other.customer = o.customer
              CROSS JOIN LATERAL keys_of_order(other.site_id, other.order_id) y
              WHERE o.site_id = $1 AND o.order_id = $2 AND y.hash = k.hash
                AND (other.visitor_id = x.visitor_id AND other.joined_by IN ('cookie', 'session', 'visitor')) IS NOT TRUE)
          AND NOT is_shared_key($1, k.hash, $5::integer, $6::integer)
        UNION ALL
        SELECT x.visitor_id, x.kind FROM browsers_of_order($1, $2) x WHERE x.kind IS NOT NULL AND x.visitor_id <> $3
    ) k
    GROUP BY k.visitor_id
)
SELECT t.*, coalesce(greatest(s.bot_score, s.behaviour_score, (s.landing).bot_score) >= 50, false) AS bot,
       s.excluded_by IS NOT NULL AS excluded, b.known_by
FROM touches_of_order($1, $2, $3) o
JOIN touch_details t ON t.visitor_id = o.visitor_id AND t.session_id = o.session_id AND t.session_hour = o.session_hour
                    AND t.evidence = o.evidence
LEFT JOIN browser b ON b.visitor_id = o.whose
LEFT JOIN sessions s ON s.session_id = o.session_id AND s.session_hour = o.session_hour AND s.visitor_id = o.visitor_id
LEFT JOIN visitors v ON v.visitor_id = o.whose
WHERE o.whose = $3 OR v.identity <> 0
ORDER BY t.at, t.evidence
LIMIT $4
