-- Notes that a proxy signs with a key now, and says whether in the last ten minutes another one signed with a key that
-- this one cannot verify. Within a rotation every proxy knows both keys.
-- $1 fingerprints of the keys that this proxy verifies, first of the one that it signs with
-- → differs
WITH noted AS (
    INSERT INTO identity_keys (fingerprint) SELECT ($1::bytea[])[1]
    ON CONFLICT (fingerprint) DO UPDATE SET last_seen = now()
)
SELECT EXISTS (
    SELECT FROM identity_keys k
    WHERE k.fingerprint <> ALL ($1::bytea[]) AND k.last_seen > now() - interval '10 minutes'
) AS differs
