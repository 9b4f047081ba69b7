-- Which of these actions were ever seen?
--
-- $1 text[]  names of actions
-- Rows: kind_id integer, name text
SELECT k.kind_id, k.name
FROM action_kinds k
WHERE k.name = ANY ($1::text[])
