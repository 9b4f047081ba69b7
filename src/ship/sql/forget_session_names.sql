-- Renames sessions that shops named before anything was known of them but that their visitor is forgotten.
-- $1 session_id, $2 what replaces it
WITH named AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS n(old_id, new_id)
), told AS (
    UPDATE told_actions t SET session_id = n.new_id FROM named n WHERE t.session_id = n.old_id
), waiting AS (
    DELETE FROM identifications i USING named n WHERE i.subject = n.old_id AND i.is_session
    RETURNING i.site_id, i.hash, n.new_id, i.kind, i.is_session, i.is_browser, i.at
), waits AS (
    INSERT INTO identifications (site_id, hash, subject, kind, is_session, is_browser, at)
    SELECT * FROM waiting
    ON CONFLICT DO NOTHING
), done AS (
    UPDATE events e SET session_id = n.new_id, properties = NULL
    FROM named n
    WHERE e.session_id = n.old_id AND e.visitor_id IS NULL
)
UPDATE order_entries e SET session_id = n.new_id
FROM named n
WHERE e.session_id = n.old_id
