-- Which acquisition evidence came in one session?
--
-- $1 uuid  session id, $2 uuid visitor id
-- Rows by time: columns of touch_details
SELECT t.*
FROM touch_details t
WHERE t.session_id = $1 AND t.visitor_id = $2
ORDER BY t.at, t.evidence
