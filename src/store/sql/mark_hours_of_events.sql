-- Marks the hours of the sessions that are kept in which something happened in a month whose events are dropped: what was done in
-- them is told without it from then on.
-- $1 first day of the month, a date
WITH month AS (
    SELECT $1::date::timestamp AT TIME ZONE 'UTC' AS from_at, ($1::date + interval '1 month')::timestamp AT TIME ZONE 'UTC' AS to_at,
           coalesce((SELECT h.horizon FROM retention_horizons h WHERE h.kind = 'sessions'), '-infinity') AS kept_from
)
INSERT INTO dirty_hours
SELECT x.session_hour
FROM month m
CROSS JOIN LATERAL (
    -- The hour is read from an id once for each hour, not for each event. Ids that the shop made up have none.
    SELECT i.session_hour
    FROM (
        SELECT hour_of(rpad(encode(d.beginning, 'hex'), 32, '0')::uuid) AS session_hour
        FROM (
            SELECT DISTINCT substring(uuid_send(e.session_id) FOR 6) AS beginning
            FROM events e
            WHERE e.at >= m.from_at AND e.at < m.to_at AND e.session_id IS NOT NULL
        ) d
    ) i
    WHERE i.session_hour < m.to_at + interval '48 hours'
      AND i.session_hour = date_bin('1 hour', i.session_hour, '1000-01-01 00:00:00+00')
    UNION
    -- Sessions whose beginning without a cookie is of its last day.
    SELECT s.session_hour
    FROM sessions s
    WHERE s.session_hour >= m.to_at AND s.session_hour < m.to_at + interval '48 hours' AND (s.landing).started_at < m.to_at
) x
WHERE x.session_hour >= m.kept_from
