-- Notes whose orders and identifications are.
-- $1 site_id, $2 order_id (null = an identification), $3 identification_id (null = an order), $4 customer (null = nobody's with
-- others)
WITH changed AS (
    SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::text[]) AS n(site_id, order_id, identification_id, customer)
), identified AS (
    UPDATE identifications i SET customer = n.customer
    FROM changed n
    WHERE i.identification_id = n.identification_id
)
UPDATE orders o SET customer = n.customer
FROM changed n
WHERE (o.site_id, o.order_id) = (n.site_id, n.order_id)
