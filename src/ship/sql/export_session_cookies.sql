-- Which marketing cookies had visitors?
-- $1 visitor_id
-- → entry, JSON text
SELECT to_jsonb(c)::text AS entry
FROM session_cookies c
WHERE c.visitor_id = ANY ($1::uuid[])
ORDER BY c.at, c.session_id, c.name
