-- Keeps what an erasure did.
-- $1 erasure_id, $2 subject, $3 at, $4 outcome, $5 rows by table as JSON text, $6 key (null = it replaced nothing)
-- → applied_at
INSERT INTO erasures (erasure_id, subject, at, outcome, erased, key)
VALUES ($1::uuid, $2::text, $3::timestamptz, $4::text, $5::text::jsonb, $6::bytea)
RETURNING applied_at
