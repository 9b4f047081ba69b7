-- $1 session_hour
DELETE FROM session_quarters WHERE session_hour = ANY ($1::timestamptz[])
