-- Renames sessions that shops named before anything was known of them but that their visitor is forgotten.
-- $1 session_id, $2 what replaces it
UPDATE order_entries e SET session_id = n.new_id
FROM unnest($1::uuid[], $2::uuid[]) AS n(old_id, new_id)
WHERE e.session_id = n.old_id
