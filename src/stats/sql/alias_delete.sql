-- Takes an alias of the API away.
-- $1 alias
-- → alias, when it was there
DELETE FROM source_aliases a WHERE a.alias = $1 AND a.origin = 'api' RETURNING a.alias
