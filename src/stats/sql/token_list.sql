-- Which tokens are there, revoked ones included?
--
-- Rows by name: name text, scope text, created_at timestamptz, revoked_at timestamptz
SELECT name, scope, created_at, revoked_at
FROM api_tokens
ORDER BY name
