-- When did visitors come in the months whose sessions are not kept any more?
-- $1 from, $2 to (null = open), $3 sites (null = all), $4 whether bots' (null = both)
-- Rows, in no order: visitor_id; first_seen timestamptz; begins timestamptz, of the month in UTC; started smallint[], quarter hours since then
SELECT m.visitor_id, m.first_seen, m.month::timestamp AT TIME ZONE 'UTC' AS begins, m.started
FROM visitor_months m
WHERE ($1::timestamptz IS NULL OR m.month >= date_trunc('month', $1::timestamptz AT TIME ZONE 'UTC'))
  AND m.month < $2::timestamptz AT TIME ZONE 'UTC'
  AND ($3::text[] IS NULL OR m.site_id IN (SELECT s.site_id FROM sites s WHERE s.name = ANY ($3::text[])))
  AND ($4::boolean IS NULL OR m.bot = $4::boolean)
