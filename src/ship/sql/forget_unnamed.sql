-- Deletes what those of these visitors, and visitors of these sessions, gave who are forgotten, where its hash is left, since
-- too many are known by it.
-- $1 visitor_id, $2 session_id
DELETE FROM identifications i
USING (
    SELECT unnest($1::uuid[]) AS visitor_id
    UNION
    SELECT s.visitor_id FROM sessions s WHERE s.session_id = ANY ($2::uuid[])
) a
JOIN visitors v ON v.visitor_id = a.visitor_id AND v.identity = 0
WHERE i.subject = a.visitor_id AND octet_length(i.hash) = 16
