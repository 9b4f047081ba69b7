-- Which aliases of sources were added?
-- → alias, source, origin, by alias, the one that counts first
SELECT a.alias, a.source, a.origin
FROM source_aliases a
ORDER BY a.alias, a.origin
