-- Puts the rules of the configuration in place of those that were there.
-- $1 kinds, $2 values
WITH gone AS (
    DELETE FROM exclusions x
    WHERE x.origin = 'config'
      AND NOT EXISTS (SELECT FROM unnest($1::text[], $2::text[]) AS n(kind, value)
                      WHERE n.kind = x.kind AND n.value = x.value)
)
INSERT INTO exclusions (kind, value, origin)
SELECT DISTINCT n.kind, n.value, 'config'
FROM unnest($1::text[], $2::text[]) AS n(kind, value)
WHERE NOT EXISTS (SELECT FROM exclusions x WHERE x.kind = n.kind AND x.value = n.value AND x.origin = 'config')
ON CONFLICT DO NOTHING
