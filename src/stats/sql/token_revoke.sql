-- Ends a token.
--
-- $1 text  name
-- One row when it was valid until now: name text
UPDATE api_tokens
SET revoked_at = now()
WHERE name = $1 AND revoked_at IS NULL
RETURNING name
