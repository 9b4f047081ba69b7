-- How many closed hours wait for being summed up? As in take_marks.sql.
-- $1 now
-- → hours bigint
SELECT count(DISTINCT d.session_hour) AS hours
FROM (
    SELECT m.session_hour FROM dirty_hours m
    UNION ALL
    SELECT c.session_day + h.hours * interval '1 hour'
    FROM session_columns c
    CROSS JOIN generate_series(0, 23) AS h(hours)
    WHERE c.actions IS NULL
) d
WHERE d.session_hour
      < $1::timestamptz - make_interval(hours => CASE WHEN d.session_hour = day_of(d.session_hour) THEN 26 ELSE 2 END)
