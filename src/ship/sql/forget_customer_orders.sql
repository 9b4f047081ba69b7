-- Which orders have a customer in common with an order, or with a customer's hash?
-- $1 site's name, $2 order_id (null = none), $3 hash (null = none)
-- → site_id, order_id, customer (a hash that they share, null = none)
WITH named AS (
    SELECT e.site_id, e.order_id, e.phone, e.email, e.user_id
    FROM order_entries e JOIN sites n USING (site_id)
    WHERE n.name = $1::text AND e.order_id = $2::text
), key AS (
    SELECT k.hash FROM named CROSS JOIN LATERAL (VALUES (phone), (email), (user_id)) AS k(hash)
    UNION
    SELECT $3::bytea
)
SELECT site_id, order_id, NULL::bytea AS customer FROM named
UNION
SELECT e.site_id, e.order_id, k.hash
FROM key k JOIN order_entries e ON k.hash IN (e.phone, e.email, e.user_id)
