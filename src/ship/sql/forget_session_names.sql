-- Renames sessions that shops named before anything was known of them but that their visitor is forgotten.
-- $1 session_id, $2 what replaces it
WITH named AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS n(old_id, new_id)
), told AS (
    UPDATE told_actions t SET session_id = n.new_id FROM named n WHERE t.session_id = n.old_id
), identified AS (
    UPDATE identifications i SET session_id = n.new_id, identification_id = random_id()
    FROM named n
    WHERE i.session_id = n.old_id
), done AS (
    UPDATE events e SET session_id = n.new_id, properties = NULL
    FROM named n
    WHERE e.session_id = n.old_id AND e.visitor_id IS NULL
)
UPDATE order_entries e SET session_id = n.new_id
FROM named n
WHERE e.session_id = n.old_id
