-- Adds product views that are not there yet.
-- $1 session_id, $2 visitor_id, $3 session_hour, $4 product_key, $5 slot, $6 at, $7 hash, $8 site_id
-- → session_id, visitor_id, product_key, slot of those added
INSERT INTO product_views (session_id, visitor_id, session_hour, product_key, slot, at, hash, site_id)
SELECT n.session_id, n.visitor_id, n.session_hour, n.product_key, n.slot, n.at, n.hash, n.site_id
FROM (
    SELECT unnest($1::uuid[]) AS session_id, unnest($2::uuid[]) AS visitor_id,
           unnest($3::timestamptz[]) AS session_hour, unnest($4::bigint[]) AS product_key,
           unnest($5::integer[]) AS slot, unnest($6::timestamptz[]) AS at, unnest($7::bigint[]) AS hash,
           unnest($8::integer[]) AS site_id
) n
ORDER BY n.session_id, n.session_hour, n.visitor_id, n.product_key, n.slot
ON CONFLICT DO NOTHING
RETURNING session_id, visitor_id, product_key, slot
