-- Notes that a proxy signs with a key now, and says whether another key was in use in the last ten minutes.
-- $1 fingerprint
-- → differs
WITH noted AS (
    INSERT INTO identity_keys (fingerprint) VALUES ($1)
    ON CONFLICT (fingerprint) DO UPDATE SET last_seen = now()
    RETURNING fingerprint
)
SELECT EXISTS (
    SELECT FROM identity_keys k
    WHERE k.fingerprint <> (SELECT n.fingerprint FROM noted n) AND k.last_seen > now() - interval '10 minutes'
) AS differs
