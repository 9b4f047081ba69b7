-- Renames visitors.
-- $1 visitor_id, $2 what replaces it
UPDATE visitors v SET visitor_id = n.new_id, identity = 0, minted_from = NULL
FROM unnest($1::uuid[], $2::uuid[]) AS n(old_id, new_id)
WHERE v.visitor_id = n.old_id
