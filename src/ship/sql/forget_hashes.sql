-- Replaces hashes of customers in all reports and identifications, and lists them, so that what comes late is replaced alike:
-- who was joined by them stays so, and they lead to nobody. What more than 1,000 reports name stands for no person and is left,
-- and so are identifications by what more than 1,000 gave.
-- $1 hash, $2 erasure_id, $3 key
WITH named AS MATERIALIZED (
    SELECT DISTINCT ON (n.hash) n.hash, n.erasure_id,
           substring(sha256(n.key || 'c'::bytea || n.hash) FROM 1 FOR 16) || '\x00'::bytea AS replacement
    FROM unnest($1::bytea[], $2::uuid[], $3::bytea[]) AS n(hash, erasure_id, key)
    WHERE octet_length(n.hash) = 16
      AND (SELECT count(*) FROM (SELECT FROM order_entries e
                                 WHERE e.phone = n.hash OR e.email = n.hash OR e.user_id = n.hash LIMIT 1001) x) <= 1000
    ORDER BY n.hash, n.erasure_id
), listed AS (
    INSERT INTO forgotten (id_hash, kind, erasure_id)
    SELECT sha256(n.hash), 3, n.erasure_id FROM named n
    ON CONFLICT (id_hash) DO UPDATE SET erasure_id = excluded.erasure_id, forgotten_no = DEFAULT
), gone AS (
    DELETE FROM identifications i
    USING named n CROSS JOIN sites s
    WHERE i.site_id = s.site_id AND i.hash = n.hash
      AND (SELECT count(*) FROM (SELECT FROM identifications o WHERE o.site_id = s.site_id AND o.hash = n.hash LIMIT 1001) o) <= 1000
    RETURNING i.site_id, n.replacement, i.subject, i.kind, i.is_session, i.is_browser, i.at
), identified AS (
    INSERT INTO identifications (site_id, hash, subject, kind, is_session, is_browser, at)
    SELECT * FROM gone
    ON CONFLICT DO NOTHING
)
UPDATE order_entries e
SET phone   = coalesce((SELECT n.replacement FROM named n WHERE n.hash = e.phone), e.phone),
    email   = coalesce((SELECT n.replacement FROM named n WHERE n.hash = e.email), e.email),
    user_id = coalesce((SELECT n.replacement FROM named n WHERE n.hash = e.user_id), e.user_id)
FROM named n
WHERE e.phone = n.hash OR e.email = n.hash OR e.user_id = n.hash
