-- Renames the product views of visitors.
-- $1 visitor_id, $2 what replaces it, $3 session_id, $4 what replaces it
WITH visitor AS (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS n(old_id, new_id)),
     session AS (SELECT * FROM unnest($3::uuid[], $4::uuid[]) AS n(old_id, new_id))
UPDATE product_views p SET session_id = session.new_id, visitor_id = visitor.new_id
FROM visitor, session
WHERE p.session_id = session.old_id AND p.visitor_id = visitor.old_id
