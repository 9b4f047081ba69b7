-- What is known of one session?
--
-- $1 uuid  session id
-- At most one row: columns of session_details
SELECT d.*
FROM session_details d
WHERE d.session_id = $1 AND d.session_hour = hour_of($1)
ORDER BY d.first_seen
LIMIT 1
