-- Renames visitors in what outlives their sessions.
-- $1 visitor_id, $2 what replaces it
UPDATE visitor_months m SET visitor_id = n.new_id, identity = 0
FROM unnest($1::uuid[], $2::uuid[]) AS n(old_id, new_id)
WHERE m.visitor_id = n.old_id
