-- Cuts what leads from other visitors to these. What these did is not told with the sessions of others any more.
-- $1 visitor_id
WITH marked AS (
    INSERT INTO dirty_hours
    SELECT DISTINCT s.session_hour
    FROM visitors v
    JOIN sessions s ON s.visitor_id = v.visitor_id
    WHERE v.minted_from = ANY ($1::uuid[]) AND (s.landing).started_at IS NOT NULL
)
UPDATE visitors SET minted_from = NULL WHERE minted_from = ANY ($1::uuid[])
