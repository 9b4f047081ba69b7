-- By which hashes of customers are those of these visitors, and visitors of these sessions, identified who are forgotten?
-- $1 visitor_id, $2 session_id
-- → visitor_id, hash; erasure_id, key: the newest that there is, null when there is none
SELECT a.visitor_id, i.hash, n.erasure_id, n.key
FROM (
    SELECT unnest($1::uuid[]) AS visitor_id
    UNION
    SELECT s.visitor_id FROM sessions s WHERE s.session_id = ANY ($2::uuid[])
) a
JOIN visitors v ON v.visitor_id = a.visitor_id AND v.identity = 0
JOIN identifications i ON i.subject = a.visitor_id AND octet_length(i.hash) = 16
LEFT JOIN (SELECT r.erasure_id, r.key FROM erasures r WHERE r.key IS NOT NULL
           ORDER BY r.applied_at DESC, r.erasure_id LIMIT 1) n ON true
