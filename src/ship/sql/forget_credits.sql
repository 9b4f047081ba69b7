-- Renames the touches that orders are credited to.
-- $1 site_id, $2 order_id, $3 session_id, $4 what replaces it, $5 evidence, $6 what replaces it
WITH session AS (SELECT * FROM unnest($3::uuid[], $4::uuid[]) AS n(old_id, new_id)),
     touched AS (SELECT * FROM unnest($5::bigint[], $6::bigint[]) AS n(old_evidence, new_evidence))
UPDATE order_credits c
SET session_id = session.new_id,
    evidence = (SELECT new_evidence FROM touched WHERE old_evidence = c.evidence)
FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id), session
WHERE (c.site_id, c.order_id) = (a.site_id, a.order_id) AND c.session_id = session.old_id
