-- Who visitors said to be, other than with an order.
-- $1 visitor_id
-- → entry, JSON text
SELECT to_jsonb(i)::text AS entry
FROM identifications i
WHERE i.visitor_id = ANY ($1::uuid[])
   OR i.session_id IN (SELECT s.session_id FROM sessions s WHERE s.visitor_id = ANY ($1::uuid[]))
ORDER BY i.at
