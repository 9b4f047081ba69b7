-- How many rows has visitor_months of the months of a window?
-- $1 from, $2 to (null = open)
-- → months
SELECT count(*) AS months
FROM visitor_months m
WHERE ($1::timestamptz IS NULL OR m.month >= date_trunc('month', $1::timestamptz AT TIME ZONE 'UTC'))
  AND m.month < $2::timestamptz AT TIME ZONE 'UTC'
