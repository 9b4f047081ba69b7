-- Marks days of orders.
-- $1 order_day
INSERT INTO dirty_order_days SELECT * FROM unnest($1::timestamptz[])
