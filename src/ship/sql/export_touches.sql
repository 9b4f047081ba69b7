-- By what did visitors come, with the texts of it?
-- $1 visitor_id
-- → entry, JSON text
SELECT (to_jsonb(d) || to_jsonb(t))::text AS entry
FROM touches t
JOIN touch_details d ON d.session_id = t.session_id AND d.visitor_id = t.visitor_id AND d.evidence = t.evidence
WHERE t.visitor_id = ANY ($1::uuid[])
ORDER BY t.at, t.session_id, t.evidence
