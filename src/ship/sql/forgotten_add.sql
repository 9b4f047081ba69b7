-- Adds to the list of who is forgotten; who is in it already belongs to the newer erasure from now on. But what replaces the
-- hash of a customer stays as long as there is a key.
-- $1 id_hash, $2 kind, $3 erasure_id
-- → one row for each that was added or changed
INSERT INTO forgotten (id_hash, kind, erasure_id)
SELECT DISTINCT ON (n.id_hash) n.id_hash, n.kind, n.erasure_id
FROM unnest($1::bytea[], $2::smallint[], $3::uuid[]) AS n(id_hash, kind, erasure_id)
ORDER BY n.id_hash
ON CONFLICT (id_hash) DO UPDATE SET erasure_id = excluded.erasure_id, forgotten_no = DEFAULT
WHERE forgotten.kind <> 3
   OR NOT EXISTS (SELECT FROM erasures e WHERE e.erasure_id = forgotten.erasure_id AND e.key IS NOT NULL)
RETURNING kind
