-- Sets records aside.
-- $1 journals, $2 segments, $3 offsets, $4 payloads, $5 errors
INSERT INTO quarantine (journal, segment, "offset", payload, error)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[], $5::text[])
