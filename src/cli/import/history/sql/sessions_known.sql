-- Which of these sessions are there, or are forgotten?
-- $1 session ids
-- → session_id
SELECT s.session_id FROM sessions s WHERE s.session_id = ANY ($1::uuid[])
UNION
SELECT n.session_id
FROM unnest($1::uuid[]) AS n(session_id) JOIN forgotten f ON f.id_hash = sha256(uuid_send(n.session_id))
