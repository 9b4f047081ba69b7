-- $1 order_day
DELETE FROM order_columns WHERE order_day = ANY ($1::timestamptz[])
