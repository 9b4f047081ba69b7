-- Which acquisition evidence came in one session, that of its beginning without a cookie included?
--
-- $1 uuid  session id, $2 uuid visitor id, $3 uuid  session id of that beginning, null = none, or not joined to the session yet
-- Rows by time: columns of touch_details
SELECT t.*
FROM touch_details t
WHERE t.session_id = $1 AND t.session_hour = hour_of($1) AND t.visitor_id = $2
UNION ALL
SELECT t.*
FROM visitors v
JOIN touch_details t ON t.visitor_id = v.minted_from AND t.session_id = $3 AND t.session_hour = hour_of($3) AND t.at <= v.first_seen
WHERE v.visitor_id = $2
ORDER BY at, evidence
