-- Renames page views and actions of visitors; properties go.
-- $1 visitor_id, $2 what replaces it, $3 session_id, $4 what replaces it
WITH visitor AS (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS n(old_id, new_id)),
     session AS (SELECT * FROM unnest($3::uuid[], $4::uuid[]) AS n(old_id, new_id))
UPDATE events e SET session_id = session.new_id, visitor_id = visitor.new_id, properties = NULL
FROM visitor, session
WHERE e.session_id = session.old_id AND e.visitor_id = visitor.old_id
