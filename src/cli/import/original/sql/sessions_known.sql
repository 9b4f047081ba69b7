-- Which of these sessions are there?
-- $1 session ids
-- → session_id
SELECT DISTINCT s.session_id FROM sessions s WHERE s.session_id = ANY ($1::uuid[])
