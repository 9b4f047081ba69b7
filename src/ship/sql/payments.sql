-- Merges payments that name no order: of each key the one received first stands.
-- $1 site_id, $2 reference, $3 way, $4 at, $5 received_at, $6 hash, $7 value, $8 currency
INSERT INTO payments AS p (site_id, reference, way, at, received_at, hash, value, currency)
SELECT n.site_id, n.reference, n.way, n.at, n.received_at, n.hash, n.value, n.currency
FROM unnest($1::integer[], $2::text[], $3::smallint[], $4::timestamptz[], $5::timestamptz[], $6::bigint[],
            $7::numeric[], $8::text[]) AS n(site_id, reference, way, at, received_at, hash, value, currency)
ORDER BY n.site_id, n.reference COLLATE "C", n.way
ON CONFLICT (site_id, reference, way) DO UPDATE SET
    at = excluded.at, received_at = excluded.received_at, hash = excluded.hash, value = excluded.value,
    currency = excluded.currency
WHERE (excluded.received_at, excluded.hash) < (p.received_at, p.hash)
