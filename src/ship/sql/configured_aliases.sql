-- Puts the aliases of the configuration in place of those that were there.
-- $1 aliases, $2 sources
WITH gone AS (
    DELETE FROM source_aliases a WHERE a.origin = 'config' AND a.alias <> ALL ($1::text[])
)
INSERT INTO source_aliases AS a (alias, source, origin)
SELECT n.alias, n.source, 'config'
FROM unnest($1::text[], $2::text[]) AS n(alias, source)
ORDER BY n.alias
ON CONFLICT (alias, origin) DO UPDATE SET source = excluded.source, changed_at = now()
WHERE a.source <> excluded.source
