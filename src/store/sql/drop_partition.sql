-- Drops the partition of a month that retention has passed, with the rights of the table's owner.
-- $1 table, $2 any day of the month
SELECT drop_partition($1::text, $2::date)
