-- Deletes all marks of some days of orders that are over, the latest first, and says which days these are: with them those that a binary
-- of before packed, without what was bought. A day that changes all the same is packed again.
-- $1 now, $2 days to take
-- → order_day
WITH closed AS (
    SELECT DISTINCT d.order_day
    FROM (SELECT m.order_day FROM dirty_order_days m
          UNION ALL
          SELECT c.order_day FROM order_columns c WHERE c.positions IS NULL) d
    WHERE d.order_day < $1::timestamptz - interval '26 hours'
    ORDER BY d.order_day DESC
    LIMIT $2::bigint
), taken AS (
    DELETE FROM dirty_order_days d USING closed c WHERE d.order_day = c.order_day
)
SELECT c.order_day FROM closed c
