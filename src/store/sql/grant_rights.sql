-- Gives roles what they need of the caller's own tables and functions.
-- $1 writer, $2 reader, each null for nobody
SELECT grant_rights($1::text, $2::text)
