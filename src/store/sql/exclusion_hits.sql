-- Adds up what rules excluded.
-- $1 rules, $2 requests
UPDATE exclusions x
SET hits = x.hits + n.hits, last_hit_at = now()
FROM unnest($1::bigint[], $2::bigint[]) AS n(exclusion_id, hits)
WHERE x.exclusion_id = n.exclusion_id
