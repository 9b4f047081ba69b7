-- Which page views of one visitor came from somewhere, up to a moment, and were no touch?
--
-- $1 uuid  visitor id, $2 timestamptz the moment, $3 float8 seconds before it, $4 bigint rows to give
-- Rows by time: at timestamptz, session_id uuid, host, path text, why text
SELECT e.at, e.session_id, g.host, g.path, e.properties ->> 'no_touch' AS why
FROM sessions s
JOIN events e ON e.session_id = s.session_id AND e.visitor_id = s.visitor_id
             AND e.at <= $2 AND e.at > $2 - make_interval(secs => $3::double precision)
             AND e.properties ? 'no_touch'
LEFT JOIN pages g ON g.page_id = e.page_id
WHERE s.visitor_id = $1::uuid AND s.started_at <= $2::timestamptz
  AND s.last_seen > $2 - make_interval(secs => $3::double precision)
ORDER BY e.at, e.session_id
LIMIT $4::bigint
