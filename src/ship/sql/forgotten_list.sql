-- Who is forgotten, since when, and by which key are they replaced?
-- → id_hash, kind, erasure_id, at, key (null: deleted)
SELECT f.id_hash, f.kind, f.erasure_id, e.at, e.key
FROM forgotten f
JOIN erasures e USING (erasure_id)
