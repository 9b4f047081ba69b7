-- What tells of the customers of these orders and identifications? Of an order that names no key and is nobody's with others,
-- nothing.
-- $1 site_id, $2 order_id; $3 identification_id
-- → columns of customer_members
--
-- Most shops tell no keys: the indexes that are looked into have none of their reports.
SELECT m.*
FROM (SELECT DISTINCT * FROM unnest($1::integer[], $2::text[])) AS a(site_id, order_id)
JOIN customer_members m USING (site_id, order_id)
WHERE m.keys IS NOT NULL OR m.customer IS NOT NULL
UNION ALL
SELECT m.*
FROM (SELECT DISTINCT * FROM unnest($3::bigint[])) AS a(identification_id)
JOIN customer_members m USING (identification_id)
