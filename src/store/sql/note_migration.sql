-- Notes that a migration was applied.
-- $1 version, $2 name, $3 time, $4 checksum of its text
INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
VALUES ($1::integer, $2::text, $3::text, $4::text)
