-- Merges cookies: the last seen stands, of equal times the bytewise greater.
-- $1 session_id, $2 visitor_id, $3 session_hour, $4 at, $5 name, $6 value
INSERT INTO session_cookies AS c (session_id, visitor_id, session_hour, at, name, value)
SELECT n.session_id, n.visitor_id, n.session_hour, n.at, n.name, n.value
FROM (
    SELECT unnest($1::uuid[]) AS session_id, unnest($2::uuid[]) AS visitor_id,
           unnest($3::timestamptz[]) AS session_hour, unnest($4::timestamptz[]) AS at, unnest($5::text[]) AS name,
           unnest($6::text[]) AS value
) n
ORDER BY n.session_id, n.session_hour, n.visitor_id, n.name COLLATE "C"
ON CONFLICT (session_id, session_hour, visitor_id, name) DO UPDATE SET at = excluded.at, value = excluded.value
WHERE (excluded.at, excluded.value COLLATE "C") > (c.at, c.value COLLATE "C")
