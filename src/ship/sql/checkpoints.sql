-- How far journals are in the database.
-- $1 journals
-- → journal, segment, offset
SELECT journal, segment, "offset" FROM journal_checkpoint WHERE journal = ANY ($1::uuid[])
