-- Takes a rule of the API away.
-- $1 id
-- → exclusion_id, when it was there
DELETE FROM exclusions x WHERE x.exclusion_id = $1 AND x.origin = 'api' RETURNING x.exclusion_id
