-- Which visitors are believed to be the customers of these hashes, by what they gave other than with an order?
-- $1 hash
-- → visitor_id
SELECT DISTINCT i.visitor_id
FROM unnest($1::bytea[]) AS n(hash)
CROSS JOIN sites s
CROSS JOIN LATERAL identified_by(s.site_id, n.hash) i
