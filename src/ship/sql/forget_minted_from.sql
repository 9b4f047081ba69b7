-- By which cookieless ids were visitors known before they had their own?
-- $1 visitor_id
-- → visitor_id
SELECT DISTINCT v.minted_from AS visitor_id
FROM visitors v
WHERE v.visitor_id = ANY ($1::uuid[]) AND v.minted_from IS NOT NULL
