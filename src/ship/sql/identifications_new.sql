-- Does a batch tell of visitors what is not known yet, or bring a session that somebody waits for to be known?
-- $1 site_id, $2 hash, $3 subject; $4 sessions
-- → a row if so
SELECT
FROM unnest($1::integer[], $2::bytea[], $3::uuid[]) AS n(site_id, hash, subject)
WHERE NOT EXISTS (SELECT FROM identifications i WHERE (i.site_id, i.hash, i.subject) = (n.site_id, n.hash, n.subject))
UNION ALL
SELECT FROM unnest($4::uuid[]) AS s(session_id) JOIN identifications i ON i.subject = s.session_id AND i.is_session
LIMIT 1
