-- Which days have no mark any more?
-- $1 hours whose marks were deleted
-- → session_day
SELECT DISTINCT day_of(t.session_hour) AS session_day
FROM unnest($1::timestamptz[]) AS t(session_hour)
WHERE NOT EXISTS (SELECT FROM dirty_hours d WHERE day_of(d.session_hour) = day_of(t.session_hour))
