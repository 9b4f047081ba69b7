-- Marks the hours of days that are not taken.
-- $1 days, $2 hours taken
INSERT INTO dirty_hours
SELECT x.session_hour
FROM (
    SELECT d.session_day + h.hours * interval '1 hour' AS session_hour
    FROM unnest($1::timestamptz[]) AS d(session_day)
    CROSS JOIN generate_series(0, 23) AS h(hours)
) x
WHERE x.session_hour <> ALL ($2::timestamptz[])
