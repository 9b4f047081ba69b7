-- Renames whom orders were joined to.
-- $1 visitor_id, $2 what replaces it, $3 session_id, $4 what replaces it
WITH visitor AS (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS n(old_id, new_id)),
     session AS (SELECT * FROM unnest($3::uuid[], $4::uuid[]) AS n(old_id, new_id))
UPDATE orders o
SET visitor_id = coalesce((SELECT new_id FROM visitor WHERE old_id = o.visitor_id), o.visitor_id),
    session_id = coalesce((SELECT new_id FROM session WHERE old_id = o.session_id), o.session_id)
WHERE o.visitor_id = ANY ($1::uuid[]) OR o.session_id = ANY ($3::uuid[])
