-- Since when are there sessions?
--
-- At most one row: session_hour
SELECT s.session_hour
FROM sessions s
ORDER BY s.session_id
LIMIT 1
