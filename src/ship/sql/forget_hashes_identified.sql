-- By which hashes of customers are forgotten visitors identified?
-- $1 identification_id
-- → hash; erasure_id, key: the newest that there is, null when there is none
SELECT DISTINCT k.hash, n.erasure_id, n.key
FROM unnest($1::bigint[]) AS a(identification_id)
JOIN identifications i USING (identification_id)
JOIN visitors v ON v.visitor_id = i.visitor_id AND v.identity = 0
CROSS JOIN LATERAL (VALUES (i.phone), (i.email), (i.user_id)) AS k(hash)
LEFT JOIN (SELECT r.erasure_id, r.key FROM erasures r WHERE r.key IS NOT NULL
           ORDER BY r.applied_at DESC, r.erasure_id LIMIT 1) n ON true
WHERE octet_length(k.hash) = 16
