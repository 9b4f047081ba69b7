-- Notes who visitors said to be; of one that is known its least time.
-- $1 identification_id, $2 site_id, $3 visitor_id, $4 session_id (of whose visitor it is, null = named), $5 phone, $6 email,
-- $7 user_id, $8 at
INSERT INTO identifications AS i (identification_id, site_id, visitor_id, session_id, phone, email, user_id, at)
SELECT *
FROM unnest($1::bigint[], $2::integer[], $3::uuid[], $4::uuid[], $5::bytea[], $6::bytea[], $7::bytea[], $8::timestamptz[])
ORDER BY 1
ON CONFLICT (identification_id) DO UPDATE SET at = excluded.at WHERE excluded.at < i.at
