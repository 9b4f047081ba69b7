-- Renames who gave identifications, and the identifications: their ids are hashes of who it was.
-- $1 visitor_id, $2 what replaces it, $3 session_id, $4 what replaces it
WITH visitor AS (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS n(old_id, new_id)),
     session AS (SELECT * FROM unnest($3::uuid[], $4::uuid[]) AS n(old_id, new_id))
UPDATE identifications i
SET identification_id = random_id(),
    visitor_id = coalesce((SELECT new_id FROM visitor WHERE old_id = i.visitor_id), i.visitor_id),
    session_id = coalesce((SELECT new_id FROM session WHERE old_id = i.session_id), i.session_id)
WHERE i.visitor_id = ANY ($1::uuid[]) OR i.session_id = ANY ($3::uuid[])
