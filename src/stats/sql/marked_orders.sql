-- Which orders of the window are told by themselves only: those of which days, and those of sessions of which hours?
--
-- $1 timestamptz  first instant of the window, null = since ever, $2 timestamptz  first instant after it
-- One row: order_days, session_hours timestamptz[]
SELECT ARRAY(SELECT DISTINCT d.order_day
             FROM dirty_order_days d
             WHERE d.order_day > coalesce($1::timestamptz - interval '24 hours', '-infinity') AND d.order_day < $2::timestamptz)
           AS order_days,
       -- A session is older than its order, by how much nobody knows.
       ARRAY(SELECT DISTINCT d.session_hour FROM dirty_hours d) AS session_hours
