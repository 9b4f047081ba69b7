-- Adds sites. $1 ids, $2 names
INSERT INTO sites (site_id, name)
SELECT s.id, s.name FROM unnest($1::integer[], $2::text[]) AS s(id, name) ORDER BY s.id
ON CONFLICT DO NOTHING
