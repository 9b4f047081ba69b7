-- Renames whom told actions wait for.
-- $1 visitor_id, $2 what replaces it, $3 session_id, $4 what replaces it
WITH visitor AS (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS n(old_id, new_id)),
     session AS (SELECT * FROM unnest($3::uuid[], $4::uuid[]) AS n(old_id, new_id))
UPDATE told_actions t
SET visitor_id = coalesce((SELECT new_id FROM visitor WHERE old_id = t.visitor_id), t.visitor_id),
    session_id = coalesce((SELECT new_id FROM session WHERE old_id = t.session_id), t.session_id)
WHERE t.visitor_id = ANY ($1::uuid[]) OR t.session_id = ANY ($3::uuid[])
