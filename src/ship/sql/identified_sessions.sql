-- Gives identifications the visitor of the session that they wait for, where it is known.
-- $1 identification_id
UPDATE identifications i SET visitor_id = s.visitor_id, session_id = NULL
FROM unnest($1::bigint[]) AS n(identification_id)
JOIN identifications w USING (identification_id)
CROSS JOIN LATERAL (SELECT x.visitor_id FROM sessions x WHERE x.session_id = w.session_id ORDER BY x.visitor_id LIMIT 1) s
WHERE i.identification_id = w.identification_id
