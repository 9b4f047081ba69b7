-- What is stored of visitors?
-- $1 visitor_id
-- → entry, JSON text
SELECT (to_jsonb(v) || jsonb_build_object('site', n.name))::text AS entry
FROM visitors v LEFT JOIN sites n USING (site_id)
WHERE v.visitor_id = ANY ($1::uuid[])
ORDER BY v.first_seen, v.visitor_id
