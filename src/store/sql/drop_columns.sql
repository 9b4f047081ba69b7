-- The days of a month whose sessions are dropped.
-- $1 first day of the month, a date
DELETE FROM session_columns
WHERE session_day >= $1::date::timestamp AT TIME ZONE 'UTC'
  AND session_day < ($1::date + interval '1 month')::timestamp AT TIME ZONE 'UTC'
