-- How many identifiers of a customer do reports about an order name, and how many of them stand for too many people to be one's?
--
-- $1 integer site id, $2 text order id, $3 integer reports, $4 integer browsers that a key may have
-- One row: keys, shared_keys bigint
SELECT count(*) AS keys, count(*) FILTER (WHERE is_shared_key($1::integer, k.hash, $3::integer, $4::integer)) AS shared_keys
FROM (SELECT DISTINCT k.hash FROM keys_of_order($1, $2::text) k) k
