-- Which hours of the window are told by their sessions only?
--
-- $1 timestamptz  first instant of the window, null = since ever, $2 timestamptz  first instant after it
-- Rows: session_hour
SELECT DISTINCT d.session_hour
FROM dirty_hours d
WHERE d.session_hour >= coalesce($1::timestamptz - interval '48 hours', '-infinity') AND d.session_hour < $2::timestamptz
ORDER BY d.session_hour
