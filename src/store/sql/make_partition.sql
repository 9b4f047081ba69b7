-- Makes the partition of a month, with the rights of the table's owner.
-- $1 table, $2 any day of the month
SELECT make_partition($1::text, $2::date)
