-- What was done in some sessions, and when?
--
-- $1 uuid[]     sessions, $2 integer[] kinds of actions
-- $3 timestamptz  first instant, $4 timestamptz last instant
-- Rows: session_id uuid, kind_id integer, at timestamptz
SELECT e.session_id, e.kind_id, e.at
FROM events e
WHERE e.session_id = ANY ($1::uuid[]) AND e.kind_id = ANY ($2::integer[]) AND e.at >= $3::timestamptz AND e.at <= $4::timestamptz
