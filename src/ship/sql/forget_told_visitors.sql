-- Renames visitors in told actions that name no session.
-- $1 at, $2 visitor_id, $3 what replaces it
UPDATE events e SET visitor_id = n.new_id
FROM unnest($2::uuid[], $3::uuid[]) AS n(old_id, new_id)
WHERE e.at = ANY ($1::timestamptz[]) AND e.session_id IS NULL AND e.visitor_id = n.old_id
