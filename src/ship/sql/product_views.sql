-- Adds product views that are not there yet.
-- $1 session_id, $2 visitor_id, $3 session_hour, $4 product_key, $5 slot, $6 at, $7 hash, $8 site_id
-- → session_id, visitor_id, product_key, slot of those added
INSERT INTO product_views (session_id, visitor_id, session_hour, product_key, slot, at, hash, site_id)
SELECT n.session_id, n.visitor_id, n.session_hour, n.product_key, n.slot, n.at, n.hash, n.site_id
FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bigint[], $5::integer[], $6::timestamptz[], $7::bigint[],
            $8::integer[])
    AS n(session_id, visitor_id, session_hour, product_key, slot, at, hash, site_id)
ORDER BY n.session_id, n.session_hour, n.visitor_id, n.product_key, n.slot
ON CONFLICT DO NOTHING
RETURNING session_id, visitor_id, product_key, slot
