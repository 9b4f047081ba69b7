-- Joins the visits of some hours whose beginning is the session of a cookieless id: see join_landings().
-- $1 hours
-- → nothing
WITH scope AS (
    SELECT s.visitor_id, s.identity
    FROM unnest($1::timestamptz[]) AS h(session_hour)
    CROSS JOIN LATERAL (
        SELECT x.visitor_id, x.identity
        FROM sessions x
        WHERE x.session_hour = h.session_hour
          AND x.session_id >= least_session_id(h.session_hour)
          AND x.session_id < least_session_id(h.session_hour + interval '1 hour')
        OFFSET 0
    ) s
), beginnings AS MATERIALIZED (
    -- Of the days of these hours: few where visitors have cookies, and read at once.
    SELECT c.visitor_id
    FROM (SELECT DISTINCT day_of(h.session_hour) AS day FROM unnest($1::timestamptz[]) AS h(session_hour)) d
    CROSS JOIN LATERAL (
        SELECT x.visitor_id
        FROM sessions x
        WHERE x.session_hour = d.day AND x.identity = 2
          AND x.session_id >= least_session_id(d.day)
          AND x.session_id < least_session_id(d.day + interval '1 hour')
        OFFSET 0
    ) c
), concerned AS (
    -- Both parts of it must be there; whichever changes, both are looked at.
    SELECT s.visitor_id AS cookieless_id
    FROM scope s
    WHERE s.identity = 2 AND EXISTS (SELECT FROM visitors v WHERE v.minted_from = s.visitor_id)
    UNION
    SELECT v.minted_from
    FROM scope s
    JOIN visitors v ON v.visitor_id = s.visitor_id
    WHERE s.identity = 1 AND v.minted_from IN (SELECT b.visitor_id FROM beginnings b)
)
SELECT join_landings(array(SELECT c.cookieless_id FROM concerned c))
