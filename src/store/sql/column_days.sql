-- $1 session_day
SELECT session_day, sessions, hours, starts, visitors, sketches, numbers, flags, page_views, milliseconds, points, sites, campaigns, agents,
       places, referrers, landing_pages
FROM session_columns
WHERE session_day = ANY ($1::timestamptz[])
