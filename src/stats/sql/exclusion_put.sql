-- Adds a rule, or changes its note.
-- $1 kind, $2 value, $3 note
-- → the rule, as exclusions.sql
INSERT INTO exclusions AS x (kind, value, note, origin)
VALUES ($1, $2, $3, 'api')
ON CONFLICT (kind, value, origin) DO UPDATE SET note = excluded.note
RETURNING x.exclusion_id, x.kind, x.value, x.note, x.origin, x.created_at, x.hits, x.last_hit_at, 0::bigint AS sessions
