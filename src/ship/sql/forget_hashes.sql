-- Replaces hashes of customers in all reports and identifications, and lists them, so that what comes late is replaced alike:
-- who was joined by them stays so, and they lead to nobody. What more than 1,000 reports name stands for no person and is left,
-- but for the identifications of who is forgotten.
-- $1 hash, $2 erasure_id, $3 key
WITH given AS MATERIALIZED (
    SELECT DISTINCT ON (n.hash) n.hash, n.erasure_id,
           substring(sha256(n.key || 'c'::bytea || n.hash) FROM 1 FOR 16) || '\x00'::bytea AS replacement,
           (SELECT count(*)
            FROM (SELECT FROM order_entries e WHERE e.phone = n.hash OR e.email = n.hash OR e.user_id = n.hash
                  UNION ALL
                  SELECT FROM identifications i WHERE i.phone = n.hash OR i.email = n.hash OR i.user_id = n.hash
                  LIMIT 1001) x) <= 1000 AS is_named
    FROM unnest($1::bytea[], $2::uuid[], $3::bytea[]) AS n(hash, erasure_id, key)
    WHERE octet_length(n.hash) = 16
    ORDER BY n.hash, n.erasure_id
), named AS (
    SELECT n.hash, n.erasure_id, n.replacement FROM given n WHERE n.is_named
), listed AS (
    INSERT INTO forgotten (id_hash, kind, erasure_id)
    SELECT sha256(n.hash), 3, n.erasure_id FROM named n
    ON CONFLICT (id_hash) DO UPDATE SET erasure_id = excluded.erasure_id, forgotten_no = DEFAULT
), identified AS (
    UPDATE identifications i
    SET identification_id = random_id(),
        phone = CASE WHEN i.phone = ANY ($1)
                    THEN (SELECT CASE WHEN n.is_named THEN n.replacement WHEN NOT r.is_forgotten THEN n.hash END
                          FROM given n WHERE n.hash = i.phone)
                    ELSE i.phone END,
        email = CASE WHEN i.email = ANY ($1)
                    THEN (SELECT CASE WHEN n.is_named THEN n.replacement WHEN NOT r.is_forgotten THEN n.hash END
                          FROM given n WHERE n.hash = i.email)
                    ELSE i.email END,
        user_id = CASE WHEN i.user_id = ANY ($1)
                    THEN (SELECT CASE WHEN n.is_named THEN n.replacement WHEN NOT r.is_forgotten THEN n.hash END
                          FROM given n WHERE n.hash = i.user_id)
                    ELSE i.user_id END
    FROM (
        SELECT DISTINCT x.identification_id, v.identity IS NOT DISTINCT FROM 0 AS is_forgotten
        FROM given n
        JOIN identifications x ON x.phone = n.hash OR x.email = n.hash OR x.user_id = n.hash
        LEFT JOIN visitors v ON v.visitor_id = x.visitor_id
    ) r
    WHERE i.identification_id = r.identification_id
)
UPDATE order_entries e
SET phone   = coalesce((SELECT n.replacement FROM named n WHERE n.hash = e.phone), e.phone),
    email   = coalesce((SELECT n.replacement FROM named n WHERE n.hash = e.email), e.email),
    user_id = coalesce((SELECT n.replacement FROM named n WHERE n.hash = e.user_id), e.user_id)
FROM named n
WHERE e.phone = n.hash OR e.email = n.hash OR e.user_id = n.hash
