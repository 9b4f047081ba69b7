-- Makes a row at the beginning for journals that have none.
-- $1 journals
INSERT INTO journal_checkpoint (journal, segment, "offset")
SELECT j.journal, 0, 0 FROM unnest($1::uuid[]) AS j(journal) ORDER BY j.journal
ON CONFLICT DO NOTHING
