-- About how many sessions does the window have? Those of its days, and of hours with a mark; whoever they are of.
--
-- $1 timestamptz  first instant of the window, null = since ever, $2 timestamptz  first instant after it
-- One row: sessions bigint
SELECT (coalesce((SELECT sum(c.sessions)
                  FROM session_columns c
                  WHERE c.session_day > coalesce($1::timestamptz - interval '24 hours', '-infinity')
                    AND c.session_day < $2::timestamptz), 0)
        + coalesce((SELECT sum(n.sessions)
                    FROM (SELECT DISTINCT d.session_hour
                          FROM dirty_hours d
                          WHERE d.session_hour >= coalesce($1, '-infinity') AND d.session_hour < $2) h
                    CROSS JOIN LATERAL (
                        SELECT count(*) AS sessions
                        FROM sessions s
                        WHERE s.session_hour = h.session_hour AND s.session_id >= least_session_id(h.session_hour)
                          AND s.session_id < least_session_id(h.session_hour + interval '1 hour')
                        OFFSET 0
                    ) n), 0))::bigint AS sessions
