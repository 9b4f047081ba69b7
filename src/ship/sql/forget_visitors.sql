-- Renames visitors, and the touches that they keep as their first and last.
-- $1 visitor_id, $2 what replaces it, $3 evidence, $4 what replaces it
WITH touched AS (SELECT * FROM unnest($3::bigint[], $4::bigint[]) AS n(old_evidence, new_evidence))
UPDATE visitors v
SET visitor_id = n.new_id, identity = 0, minted_from = NULL,
    first_evidence = (SELECT new_evidence FROM touched WHERE old_evidence = v.first_evidence),
    last_evidence = (SELECT new_evidence FROM touched WHERE old_evidence = v.last_evidence)
FROM unnest($1::uuid[], $2::uuid[]) AS n(old_id, new_id)
WHERE v.visitor_id = n.old_id
