-- How many identifiers of a customer do reports about an order name, and how many of them stand for too many people to be one's?
--
-- $1 integer site id, $2 text order id
-- One row: keys, shared_keys bigint
SELECT count(*) AS keys,
       count(*) FILTER (WHERE NOT EXISTS (SELECT FROM orders_of_key($1::integer, k.hash, 10))) AS shared_keys
FROM (
    SELECT DISTINCT v.hash
    FROM order_entries e
    CROSS JOIN LATERAL (VALUES (e.phone), (e.email), (e.user_id)) AS v(hash)
    WHERE e.site_id = $1 AND e.order_id = $2::text AND v.hash IS NOT NULL
) k
