-- Which sessions does a rule leave out of reports, which were visits all the same?
--
-- $1 timestamptz  first instant of the window, null = since ever, $2 timestamptz  first instant after it
-- Rows: visitor_id uuid, started_at timestamptz
SELECT s.visitor_id, s.started_at
FROM sessions s
WHERE s.excluded_by IS NOT NULL AND NOT s.continued
  AND s.started_at >= coalesce($1::timestamptz, '-infinity') AND s.started_at < $2::timestamptz
  AND s.session_hour >= first_hour($1) AND s.session_hour < $2
