-- How many sessions come as far as each step, and how long do they take from the step before?
--
-- $1–$20   window and filters, as report_sessions() takes them
-- $21 text[]   names of actions, the steps in order
-- $22 boolean  closed: a step counts when it follows the one before; else whenever it was
-- Rows by step: step integer from 0 (the session itself), sessions bigint, median_seconds double precision (null without
--          any), known boolean (whether such an action was ever seen)
--
-- A purchase is a session with an order, at the time of its first purchase that follows; an order that only the shop told
-- of follows whatever was. What was done in the cookieless beginning of a visit (session_links) is the visit's.
-- Each step is looked up by the index of events, session by session: of those only that came as far.
WITH RECURSIVE visits AS MATERIALIZED (
    SELECT s.session_id, s.began_at, s.last_seen, s.converted,
           array_remove(ARRAY[s.session_id, l.cookieless_session_id], NULL) AS session_ids
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    LEFT JOIN LATERAL (
        SELECT x.cookieless_session_id
        FROM session_links x
        WHERE s.began_at < s.started_at AND x.visitor_id = s.visitor_id AND x.session_id = s.session_id
        LIMIT 1
    ) l ON true
), reached AS (
    SELECT v.session_ids, v.began_at, v.last_seen, v.converted, 0 AS step, v.began_at AS at,
           NULL::timestamptz AS before
    FROM visits v
    UNION ALL
    SELECT r.session_ids, r.began_at, r.last_seen, r.converted, r.step + 1,
           CASE WHEN ($21::text[])[r.step + 1] <> 'purchase' THEN n.at
                WHEN r.converted THEN coalesce(n.at, r.at) END,
           r.at
    FROM reached r
    CROSS JOIN LATERAL (
        SELECT min(e.at) AS at
        FROM events e
        WHERE e.session_id = ANY (r.session_ids)
          AND e.at >= CASE WHEN $22::boolean THEN r.at ELSE r.began_at END AND e.at <= r.last_seen
          AND e.kind_id = (SELECT a.kind_id FROM action_kinds a WHERE a.name = ($21::text[])[r.step + 1])
    ) n
    WHERE r.step < cardinality($21::text[]) AND (r.at IS NOT NULL OR NOT $22)
)
SELECT g.step, count(r.at) AS sessions,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM r.at - r.before)::double precision)
           FILTER (WHERE r.at >= r.before AND g.step > 0) AS median_seconds,
       g.step = 0 OR EXISTS (SELECT FROM action_kinds a WHERE a.name = ($21::text[])[g.step])
           OR ($21::text[])[g.step] = 'purchase' AS known
FROM generate_series(0, cardinality($21)) AS g(step)
LEFT JOIN reached r ON r.step = g.step
GROUP BY g.step
ORDER BY g.step
