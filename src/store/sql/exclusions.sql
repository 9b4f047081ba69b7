-- What is excluded?
-- → exclusion_id, kind, value, origin
SELECT x.exclusion_id, x.kind, x.value, x.origin FROM exclusions x ORDER BY x.exclusion_id
