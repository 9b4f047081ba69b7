-- Which acquisition evidence is there of one visitor, that of a visit before the cookie included?
--
-- $1 uuid  visitor id, $2 bigint rows to give
-- Rows by time: columns of touch_details
SELECT t.*
FROM touches_of($1) o
JOIN touch_details t ON t.visitor_id = o.visitor_id AND t.session_id = o.session_id AND t.evidence = o.evidence
ORDER BY t.at, t.evidence
LIMIT $2
