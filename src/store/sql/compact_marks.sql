-- Leaves one of the marks that an hour has.
DELETE FROM dirty_hours d
USING (
    SELECT m.session_hour, min(m.ctid) AS kept
    FROM dirty_hours m
    GROUP BY m.session_hour
    HAVING count(*) > 1
) k
WHERE d.session_hour = k.session_hour AND d.ctid <> k.kept
