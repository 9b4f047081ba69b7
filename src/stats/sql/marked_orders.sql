-- Which days of the window's orders are told from the orders themselves?
--
-- $1 timestamptz  first instant of the window, null = since ever, $2 timestamptz  first instant after it
-- $3 text[] columns that are asked for
-- Rows by day: order_day timestamptz, UTC days: with a mark, with an order of a session whose hour has one, or packed without
--       keys, or without what was bought where that is asked for
SELECT d.order_day
FROM (
    SELECT m.order_day FROM dirty_order_days m
    UNION
    SELECT c.order_day FROM order_columns c WHERE c.keys IS NULL OR (c.positions IS NULL AND 'positions' = ANY ($3::text[]))
    UNION
    -- A session is older than its order, by how much nobody knows.
    SELECT o.order_day
    FROM (SELECT DISTINCT m.session_hour FROM dirty_hours m) h
    CROSS JOIN LATERAL (
        SELECT day_of(x.placed_at) AS order_day
        FROM orders x
        WHERE x.session_id >= least_session_id(h.session_hour)
          AND x.session_id < least_session_id(h.session_hour + interval '1 hour')
        OFFSET 0
    ) o
) d
WHERE d.order_day > coalesce($1::timestamptz - interval '24 hours', '-infinity') AND d.order_day < $2::timestamptz
ORDER BY d.order_day
