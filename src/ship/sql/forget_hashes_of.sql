-- By which hashes of customers are orders known that are marked as forgotten, or with $3 any of these orders, and these
-- visitors, where it is believed?
-- $1 site_id, $2 order_id, $3 whether marked or not, $4 visitor_id
-- → hash; erasure_id, key: the newest that there is, null when there is none
SELECT DISTINCT k.hash, n.erasure_id, n.key
FROM (
    SELECT h.hash
    FROM (SELECT DISTINCT * FROM unnest($1::integer[], $2::text[])) AS a(site_id, order_id)
    JOIN orders o USING (site_id, order_id)
    JOIN order_entries e USING (site_id, order_id)
    CROSS JOIN LATERAL (VALUES (e.phone), (e.email), (e.user_id)) AS h(hash)
    WHERE $3::boolean OR o.forgotten_at IS NOT NULL
    UNION ALL
    SELECT i.hash
    FROM unnest($4::uuid[]) AS a(visitor_id) JOIN identifications i ON i.subject = a.visitor_id
    WHERE i.subject IN (SELECT b.visitor_id FROM identified_by(i.site_id, i.hash) b)
) k
LEFT JOIN (SELECT r.erasure_id, r.key FROM erasures r WHERE r.key IS NOT NULL
           ORDER BY r.applied_at DESC, r.erasure_id LIMIT 1) n ON true
WHERE octet_length(k.hash) = 16
