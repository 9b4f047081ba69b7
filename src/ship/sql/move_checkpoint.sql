-- Moves a journal's checkpoint, if it stands where it is expected.
-- $1 journal, $2 $3 expected segment and offset, $4 $5 next segment and offset, $6 records, $7 time of the newest record
-- (null = there is none)
-- → journal, no row when the checkpoint stands elsewhere
UPDATE journal_checkpoint
SET segment = $4::bigint, "offset" = $5::bigint, hits = hits + $6::bigint, at = now(),
    newest_at = greatest(newest_at, $7::timestamptz)
WHERE journal = $1::uuid AND segment = $2::bigint AND "offset" = $3::bigint
RETURNING journal
