-- Which of these partitions their tables do not have. Reads the catalog's tables, whose rows follow the snapshot;
-- to_regclass(name) would answer from a cache that may be older.
-- $1 tables, $2 names of partitions
-- → name
SELECT w.name
FROM unnest($1::text[], $2::text[]) AS w(parent, name)
WHERE NOT EXISTS (
    SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass(w.parent) AND c.relname = w.name
)
