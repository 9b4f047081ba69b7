-- What is known of these sessions, newest first?
--
-- $1 uuid[] session_id, $2 timestamptz[] session_hour, $3 uuid[] visitor_id of each
-- Rows: columns of session_details
--
-- That hours are named is for the planner: it leaves other months alone.
SELECT d.*
FROM session_details d
WHERE d.session_id = ANY ($1::uuid[]) AND d.session_hour = ANY ($2::timestamptz[])
  AND (d.session_id, d.visitor_id) IN (SELECT p.session_id, p.visitor_id FROM unnest($1, $3::uuid[]) AS p(session_id, visitor_id))
ORDER BY d.first_seen DESC, d.session_id DESC
