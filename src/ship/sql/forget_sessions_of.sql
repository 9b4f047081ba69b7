-- Which sessions have visitors?
-- $1 visitor_id
-- → session_id
SELECT DISTINCT s.session_id FROM sessions s WHERE s.visitor_id = ANY ($1::uuid[])
