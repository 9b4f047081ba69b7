-- Which acquisition evidence is there of whoever placed an order: of the visitor it is joined to, that of a visit before the
-- cookie included, and of the customer's other browsers but for those that are forgotten?
--
-- $1 integer site id, $2 text order id, $3 timestamptz when it was placed, $4 uuid visitor id, $5 bigint rows to give
-- Rows by time: columns of touch_details; bot, excluded boolean of the session; known_by text (by which kind of key the browser
--               is known, null = the visitor's own)
SELECT t.*, coalesce(greatest(s.bot_score, s.behaviour_score, (s.landing).bot_score) >= 50, false) AS bot,
       s.excluded_by IS NOT NULL AS excluded, o.known_by
FROM touches_of_order($1::integer, $2::text, $3::timestamptz, $4::uuid) o
JOIN touch_details t ON t.visitor_id = o.visitor_id AND t.session_id = o.session_id AND t.evidence = o.evidence
LEFT JOIN sessions s ON s.session_id = o.session_id AND s.session_hour = o.session_hour AND s.visitor_id = o.visitor_id
LEFT JOIN visitors v ON v.visitor_id = o.whose
WHERE o.known_by IS NULL OR v.identity <> 0
ORDER BY t.at, t.evidence
LIMIT $5
