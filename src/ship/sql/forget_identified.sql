-- Which visitors gave these identifiers of customers, other than with an order?
-- $1 hash, $2 rows at most
-- → visitor_id
SELECT DISTINCT x.visitor_id
FROM unnest($1::bytea[]) AS n(hash)
CROSS JOIN LATERAL (
    SELECT i.visitor_id FROM identifications i
    WHERE (i.phone = n.hash OR i.email = n.hash OR i.user_id = n.hash) AND i.visitor_id IS NOT NULL
    LIMIT $2::bigint
) x
