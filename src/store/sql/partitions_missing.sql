-- Which of these tables do not exist.
-- $1 names
-- → name
SELECT t.name FROM unnest($1::text[]) AS t(name) WHERE to_regclass(t.name) IS NULL
