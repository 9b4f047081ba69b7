-- Which aliases are there beside the program's own? Those of the API come before those of the configuration.
-- → alias, source
SELECT DISTINCT ON (a.alias) a.alias, a.source
FROM source_aliases a
ORDER BY a.alias, a.origin
