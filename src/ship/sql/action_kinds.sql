-- Adds action kinds. $1 ids, $2 names
INSERT INTO action_kinds (kind_id, name)
SELECT k.id, k.name FROM unnest($1::integer[], $2::text[]) AS k(id, name) ORDER BY k.id
ON CONFLICT DO NOTHING
