-- Which acquisition evidence is there of one visitor, that of a visit before the cookie included?
--
-- $1 uuid  visitor id, $2 bigint rows to give
-- Rows by time: columns of touch_details; bot, excluded boolean of the session
SELECT t.*, coalesce(greatest(s.bot_score, s.behaviour_score, (s.landing).bot_score) >= 50, false) AS bot,
       s.excluded_by IS NOT NULL AS excluded
FROM touches_of($1) o
JOIN touch_details t ON t.visitor_id = o.visitor_id AND t.session_id = o.session_id AND t.evidence = o.evidence
LEFT JOIN sessions s ON s.session_id = o.session_id AND s.session_hour = o.session_hour AND s.visitor_id = o.visitor_id
ORDER BY t.at, t.evidence
LIMIT $2
