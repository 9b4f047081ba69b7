-- Who visitors said to be, other than with an order; of sessions that are not known the hash alone tells whose they are.
-- $1 ids and hashes of customers
-- → entry, JSON text
SELECT to_jsonb(i)::text AS entry
FROM identifications i
WHERE i.subject IN (SELECT encode(n.name, 'hex')::uuid FROM unnest($1::bytea[]) AS n(name) WHERE octet_length(n.name) = 16)
   OR (i.is_session AND i.hash = ANY ($1))
ORDER BY i.at
