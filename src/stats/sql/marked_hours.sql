-- Which hours of the window are told by their sessions only: those with a mark, and those of days that an older program packed?
--
-- $1 timestamptz  first instant of the window, null = since ever, $2 timestamptz  first instant after it
-- Rows: session_hour
SELECT d.session_hour
FROM (
    SELECT m.session_hour FROM dirty_hours m
    UNION
    SELECT c.session_day + h.hours * interval '1 hour'
    FROM session_columns c
    CROSS JOIN generate_series(0, 23) AS h(hours)
    WHERE c.actions IS NULL AND c.session_day > coalesce($1::timestamptz - interval '72 hours', '-infinity')
      AND c.session_day < $2::timestamptz
) d
WHERE d.session_hour >= coalesce($1 - interval '48 hours', '-infinity') AND d.session_hour < $2
ORDER BY d.session_hour
