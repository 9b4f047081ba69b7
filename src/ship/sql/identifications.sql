-- Notes who visitors said to be, of each key and subject once, with the least time; of a session its visitor as soon as that is
-- known.
-- $1 site_id, $2 hash, $3 subject, $4 kind, $5 is_session, $6 is_browser, $7 at; $8 sessions that may be known now
-- → site_id, order_id: orders that may be joined or credited otherwise now
--
-- What a visitor gave before is read as it was: all of it counts no more when it becomes too much.
WITH waiting AS (
    DELETE FROM identifications i
    USING unnest($8::uuid[]) AS n(session_id)
    WHERE i.subject = n.session_id AND i.is_session AND EXISTS (SELECT FROM sessions s WHERE s.session_id = i.subject)
    RETURNING i.*
), told AS (
    SELECT * FROM unnest($1::integer[], $2::bytea[], $3::uuid[], $4::text[], $5::boolean[], $6::boolean[], $7::timestamptz[])
               AS n(site_id, hash, subject, kind, is_session, is_browser, at)
    UNION ALL
    SELECT w.site_id, w.hash, w.subject, w.kind, w.is_session, w.is_browser, w.at FROM waiting w
), named AS MATERIALIZED (
    SELECT t.site_id, t.hash, coalesce(s.visitor_id, t.subject) AS subject, min(t.kind) AS kind,
           bool_and(t.is_session AND s.visitor_id IS NULL) AS is_session,
           bool_or(coalesce(s.identity <> 2, t.is_browser)) AS is_browser, min(t.at) AS at
    FROM told t
    LEFT JOIN LATERAL (SELECT x.visitor_id, x.identity FROM sessions x
                       WHERE t.is_session AND x.session_id = t.subject ORDER BY x.visitor_id LIMIT 1) s ON true
    GROUP BY t.site_id, t.hash, coalesce(s.visitor_id, t.subject)
), written AS (
    INSERT INTO identifications AS i (site_id, hash, subject, kind, is_session, is_browser, at)
    SELECT n.site_id, n.hash, n.subject, n.kind, n.is_session, n.is_browser, n.at
    FROM named n
    ORDER BY n.site_id, n.hash, n.subject
    ON CONFLICT (site_id, hash, subject) DO UPDATE
    SET at = least(i.at, excluded.at), is_browser = i.is_browser OR excluded.is_browser
    WHERE excluded.at < i.at OR excluded.is_browser > i.is_browser
), news AS MATERIALIZED (
    SELECT n.site_id, n.hash, n.subject
    FROM named n
    LEFT JOIN identifications i USING (site_id, hash, subject)
    WHERE NOT n.is_session AND (i.subject IS NULL OR n.is_browser > i.is_browser)
)
SELECT r.site_id, r.order_id
FROM (SELECT DISTINCT n.site_id, n.hash FROM news n) n
CROSS JOIN LATERAL orders_of_key(n.site_id, n.hash) r
UNION
SELECT o.site_id, o.order_id
FROM orders_of_identified(array(SELECT DISTINCT n.subject FROM news n)) o
