-- Which of these identifications are not known yet, and which wait for one of these sessions?
-- $1 identification_id, $2 session_id
-- → identification_id
SELECT n.identification_id
FROM unnest($1::bigint[]) AS n(identification_id)
WHERE NOT EXISTS (SELECT FROM identifications i WHERE i.identification_id = n.identification_id)
UNION
SELECT i.identification_id FROM identifications i WHERE i.session_id = ANY ($2::uuid[])
