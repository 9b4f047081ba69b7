-- Which of these partitions their tables do not have and should: not those of a month that retention has passed. Reads
-- the catalog's tables, whose rows follow the snapshot; to_regclass(name) would answer from a cache that may be older.
-- $1 tables, $2 names of partitions, $3 the first days of their months
-- → name
SELECT w.name
FROM unnest($1::text[], $2::text[], $3::date[]) AS w(parent, name, month)
WHERE NOT EXISTS (
    SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass(w.parent) AND c.relname = w.name
) AND NOT EXISTS (
    SELECT FROM retention_horizons h
    WHERE h.kind = retention_kind(w.parent) AND h.horizon > w.month::timestamp AT TIME ZONE 'UTC'
)
