-- How many closed hours wait for being summed up? As in take_marks.sql.
-- $1 now
-- → hours bigint
SELECT count(DISTINCT d.session_hour) AS hours
FROM dirty_hours d
WHERE d.session_hour
      < $1::timestamptz - make_interval(hours => CASE WHEN d.session_hour = day_of(d.session_hour) THEN 26 ELSE 2 END)
