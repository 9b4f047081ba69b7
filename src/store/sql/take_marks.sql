-- Deletes all marks of some closed hours, the latest first, which are asked about most, and says which hours these are: with them
-- those of days that an older program packed.
-- An hour is closed two hours after it began; that of a UTC midnight, which has the cookieless sessions of the whole
-- day, two hours after the day. A closed hour that changes all the same is summed up again.
-- $1 now, $2 hours to take
-- → session_hour; is_kept: whether its sessions are there, false when their month was dropped
WITH closed AS (
    SELECT DISTINCT d.session_hour
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
    ORDER BY d.session_hour DESC
    LIMIT $2::bigint
), taken AS (
    DELETE FROM dirty_hours d USING closed c WHERE d.session_hour = c.session_hour
)
SELECT t.session_hour,
       EXISTS (
           SELECT FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid
           WHERE i.inhparent = 'sessions'::regclass
             AND (p.relname = to_char(t.session_hour AT TIME ZONE 'UTC', '"sessions_"YYYY_MM')
                  OR pg_get_expr(p.relpartbound, p.oid) = 'DEFAULT')
       ) AS is_kept
FROM closed t
