-- The reports that stand for these keys.
-- $1 site_id, $2 order_id, $3 kind, $4 reference, $5 way
-- → index into the arrays, hash, value, currency
SELECT n.index, o.hash, o.value, o.currency
FROM unnest($1::integer[], $2::text[], $3::smallint[], $4::text[], $5::smallint[])
    WITH ORDINALITY AS n(site_id, order_id, kind, reference, way, index)
JOIN order_entries o USING (site_id, order_id, kind, reference, way)
