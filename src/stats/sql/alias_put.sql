-- Adds or changes an alias.
-- $1 alias, $2 source
INSERT INTO source_aliases AS a (alias, source, origin)
VALUES ($1, $2, 'api')
ON CONFLICT (alias, origin) DO UPDATE SET source = excluded.source, changed_at = now()
