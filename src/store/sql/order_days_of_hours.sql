-- Which packed days have orders of sessions of these hours?
-- $1 session_hour
-- → order_day
SELECT DISTINCT c.order_day
FROM unnest($1::timestamptz[]) AS h(session_hour)
CROSS JOIN LATERAL (
    SELECT DISTINCT day_of(o.placed_at) AS order_day
    FROM orders o
    WHERE o.session_id >= least_session_id(h.session_hour)
      AND o.session_id < least_session_id(h.session_hour + interval '1 hour')
    OFFSET 0
) d
JOIN order_columns c ON c.order_day = d.order_day
