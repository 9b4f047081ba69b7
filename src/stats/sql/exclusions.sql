-- What is excluded, how many requests did each rule keep out, and how many sessions does it leave out?
-- → exclusion_id, kind, value, note, origin, created_at, hits, last_hit_at, sessions
SELECT x.exclusion_id, x.kind, x.value, x.note, x.origin, x.created_at, x.hits, x.last_hit_at,
       coalesce(s.sessions, 0) AS sessions
FROM exclusions x
LEFT JOIN (
    SELECT e.excluded_by, count(*) AS sessions FROM sessions e WHERE e.excluded_by IS NOT NULL GROUP BY e.excluded_by
) s ON s.excluded_by = x.exclusion_id
ORDER BY x.exclusion_id
