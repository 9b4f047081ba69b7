-- Notes whose orders are.
-- $1 site_id, $2 order_id, $3 customer (null = nobody's with other orders)
UPDATE orders o SET customer = n.customer
FROM unnest($1::integer[], $2::text[], $3::text[]) AS n(site_id, order_id, customer)
WHERE (o.site_id, o.order_id) = (n.site_id, n.order_id)
