-- $1 session_day
DELETE FROM session_columns WHERE session_day = ANY ($1::timestamptz[])
