-- What is stored of visitors' sessions, with the texts of what they point at?
-- $1 visitor_id
-- → entry, JSON text
SELECT (to_jsonb(d) || to_jsonb(s))::text AS entry
FROM sessions s
JOIN session_details d ON d.session_id = s.session_id AND d.session_hour = s.session_hour AND d.visitor_id = s.visitor_id
WHERE s.visitor_id = ANY ($1::uuid[])
ORDER BY s.started_at, s.session_id
