-- What outlives the sessions of visitors?
-- $1 visitor_id
-- → entry, JSON text
SELECT to_jsonb(m)::text AS entry FROM visitor_months m WHERE m.visitor_id = ANY ($1::uuid[]) ORDER BY m.month, m.visitor_id
