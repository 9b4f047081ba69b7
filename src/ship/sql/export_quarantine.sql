-- Which records that were set aside name one of these?
-- $1 ids and hashes, 16 bytes each
-- → entry, JSON text
SELECT jsonb_build_object('at', q.at, 'error', q.error, 'payload', encode(q.payload, 'base64'))::text AS entry
FROM quarantine q
WHERE EXISTS (SELECT FROM unnest($1::bytea[]) AS n(name) WHERE position(n.name IN q.payload) > 0)
ORDER BY q.quarantine_id
