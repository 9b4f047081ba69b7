-- Which tokens are valid?
--
-- Rows: name text, scope text, sha256 bytea
SELECT name, scope, sha256
FROM api_tokens
WHERE revoked_at IS NULL
