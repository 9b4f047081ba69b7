-- Leaves one of the marks that a day of orders has.
DELETE FROM dirty_order_days d
USING (
    SELECT m.order_day, min(m.ctid) AS kept
    FROM dirty_order_days m
    GROUP BY m.order_day
    HAVING count(*) > 1
) k
WHERE d.order_day = k.order_day AND d.ctid <> k.kept
