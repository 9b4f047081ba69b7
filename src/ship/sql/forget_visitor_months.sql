-- Renames visitors in what outlives their sessions.
-- $1 visitor_id, $2 what replaces it
-- → rows
SELECT rename_visitor_months($1::uuid[], $2::uuid[]) AS rows
