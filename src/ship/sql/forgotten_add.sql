-- Adds to the list of who is forgotten; who is in it already belongs to the newer erasure from now on.
-- $1 id_hash, $2 kind, $3 erasure_id
-- → one row for each
INSERT INTO forgotten (id_hash, kind, erasure_id)
SELECT DISTINCT ON (n.id_hash) n.id_hash, n.kind, n.erasure_id
FROM unnest($1::bytea[], $2::smallint[], $3::uuid[]) AS n(id_hash, kind, erasure_id)
ORDER BY n.id_hash
ON CONFLICT (id_hash) DO UPDATE SET erasure_id = excluded.erasure_id, forgotten_no = DEFAULT
RETURNING kind
