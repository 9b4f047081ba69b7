-- Joins the visits of some hours whose beginning is the session of a cookieless id: see join_landings().
-- $1 hours
-- → nothing
WITH scope AS (
    SELECT s.visitor_id, s.session_hour, s.identity
    FROM unnest($1::timestamptz[]) AS h(session_hour)
    CROSS JOIN LATERAL (
        SELECT x.visitor_id, x.session_hour, x.identity
        FROM sessions x
        WHERE x.session_hour = h.session_hour
          AND x.session_id >= least_session_id(h.session_hour)
          AND x.session_id < least_session_id(h.session_hour + interval '1 hour')
        OFFSET 0
    ) s
), concerned AS (
    -- Both parts of it must be there; whichever changes, both are looked at.
    SELECT s.visitor_id AS cookieless_id
    FROM scope s
    WHERE s.identity = 2 AND EXISTS (SELECT FROM visitors v WHERE v.minted_from = s.visitor_id)
    UNION
    SELECT v.minted_from
    FROM scope s
    JOIN visitors v ON v.visitor_id = s.visitor_id
    WHERE s.identity = 1 AND s.session_hour < day_of(v.first_seen) + interval '48 hours'
      AND EXISTS (SELECT FROM sessions c
                  WHERE c.visitor_id = v.minted_from AND c.identity = 2 AND c.session_hour = day_of(v.first_seen))
)
SELECT join_landings(array(SELECT c.cookieless_id FROM concerned c))
