-- Takes the marks of some hours away, the newest first.
-- $1 how many hours at most
-- → session_hour
WITH hours AS (
    SELECT DISTINCT u.session_hour FROM unjudged_hours u ORDER BY u.session_hour DESC LIMIT $1
), taken AS (
    DELETE FROM unjudged_hours u USING hours h WHERE u.session_hour = h.session_hour RETURNING u.session_hour
)
SELECT DISTINCT t.session_hour FROM taken t ORDER BY t.session_hour
