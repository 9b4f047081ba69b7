-- Keeps the hash of a new token. A revoked token's name may be taken again.
--
-- $1 text name, $2 text scope, $3 bytea SHA-256 of the token
-- One row when it was stored, none when the name is in use: name text
INSERT INTO api_tokens (name, scope, sha256)
VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE
    SET scope = EXCLUDED.scope, sha256 = EXCLUDED.sha256, created_at = now(), last_used = NULL, revoked_at = NULL
    WHERE api_tokens.revoked_at IS NOT NULL
RETURNING name
