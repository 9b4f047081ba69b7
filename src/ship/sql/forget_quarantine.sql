-- Deletes records set aside that name one of these.
-- $1 ids and hashes, 16 bytes each
DELETE FROM quarantine q
WHERE EXISTS (SELECT FROM unnest($1::bytea[]) AS n(name) WHERE position(n.name IN q.payload) > 0)
