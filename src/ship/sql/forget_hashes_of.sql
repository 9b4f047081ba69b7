-- By which hashes of customers are orders known that are marked as forgotten, or with $3 any of these orders?
-- $1 site_id, $2 order_id, $3 whether marked or not
-- → hash; erasure_id, key: the newest that there is, null when there is none
SELECT DISTINCT k.hash, n.erasure_id, n.key
FROM (SELECT DISTINCT * FROM unnest($1::integer[], $2::text[])) AS a(site_id, order_id)
JOIN orders o USING (site_id, order_id)
JOIN order_entries e USING (site_id, order_id)
CROSS JOIN LATERAL (VALUES (e.phone), (e.email), (e.user_id)) AS k(hash)
LEFT JOIN (SELECT r.erasure_id, r.key FROM erasures r WHERE r.key IS NOT NULL
           ORDER BY r.applied_at DESC, r.erasure_id LIMIT 1) n ON true
WHERE ($3::boolean OR o.forgotten_at IS NOT NULL) AND octet_length(k.hash) = 16
