-- Which acquisition evidence came in one session, that of its beginning without a cookie included?
--
-- $1 uuid  session id, $2 uuid visitor id
-- Rows by time: columns of touch_details
SELECT t.*
FROM touch_details t
WHERE t.session_id = $1 AND t.visitor_id = $2
UNION ALL
SELECT t.*
FROM session_links l
JOIN touch_details t ON t.visitor_id = l.cookieless_id AND t.session_id = l.cookieless_session_id AND t.at <= l.minted_at
WHERE l.visitor_id = $2 AND l.session_id = $1
ORDER BY at, evidence
