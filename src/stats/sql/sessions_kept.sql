-- Are all sessions of the window still there? Months are dropped whole, the oldest first; their rollups stay.
--
-- $1 timestamptz  first instant of the window, null = since ever, $2 timestamptz  first instant after it
-- One row: kept boolean
SELECT coalesce((SELECT min(d.session_day)
                 FROM session_days d
                 WHERE ($1::timestamptz IS NULL OR d.session_day >= day_of($1)) AND d.session_day < $2::timestamptz),
                'infinity')
       >= coalesce((SELECT date_trunc('month', s.session_hour AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
                    FROM sessions s
                    ORDER BY s.session_id
                    LIMIT 1),
                   'infinity') AS kept
