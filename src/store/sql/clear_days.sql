-- $1 session_day
DELETE FROM session_days WHERE session_day = ANY ($1::timestamptz[])
