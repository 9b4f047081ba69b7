-- Marks the days of orders whose sessions are of a month that is dropped: nothing more is known of those.
-- $1 first day of the month, a date
INSERT INTO dirty_order_days
SELECT DISTINCT day_of(o.placed_at)
FROM orders o
WHERE o.session_id >= least_session_id($1::date::timestamp AT TIME ZONE 'UTC')
  AND o.session_id < least_session_id(($1::date + interval '1 month')::timestamp AT TIME ZONE 'UTC')
