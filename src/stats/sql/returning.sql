-- How many sessions are somebody's first, second, …, and how long had those who come again been away?
--
-- $1–$20   window and filters, as report_sessions() takes them
-- One row: first_visits, second_visits, third_to_fifth, sixth_to_tenth, later bigint;
--          median_seconds double precision, from the start of the visitor's session before, whatever window that is in
--
-- The session before is found by sorting what the window has of those who come again; of the first of them in the window it is
-- looked up, in no month before the visitor was first seen.
WITH visits AS MATERIALIZED (
    SELECT s.visitor_id, s.session_number, s.session_hour, s.started_at
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
), lines AS (
    SELECT w.visitor_id, w.started_at, w.session_hour
    FROM visits w
    WHERE w.session_number > 1
    UNION ALL
    SELECT x.visitor_id, x.started_at, NULL
    FROM (
        SELECT y.visitor_id, y.started_at
        FROM sessions y
        WHERE y.session_hour >= coalesce($1 - interval '2 days', '-infinity') AND y.session_hour < $2 AND NOT y.continued
        OFFSET 0
    ) x
    WHERE x.visitor_id IN (SELECT w.visitor_id FROM visits w WHERE w.session_number > 1)
), spread AS (
    SELECT l.*,
           max(l.started_at) OVER (PARTITION BY l.visitor_id ORDER BY l.started_at
                                   GROUPS BETWEEN 1 PRECEDING AND 1 PRECEDING) AS before
    FROM lines l
), gaps AS (
    SELECT s.started_at - coalesce(s.before, e.started_at) AS gap
    FROM spread s
    LEFT JOIN LATERAL (
        SELECT v.first_seen - interval '2 days' AS since
        FROM visitors v
        WHERE v.visitor_id = s.visitor_id AND s.before IS NULL
        OFFSET 0
    ) p ON true
    LEFT JOIN LATERAL (
        SELECT x.started_at
        FROM sessions x
        WHERE x.visitor_id = s.visitor_id AND x.started_at < s.started_at AND NOT x.continued
          AND x.session_hour <= s.session_hour AND x.session_hour >= coalesce(p.since, '-infinity')
          AND s.before IS NULL AND $1 IS NOT NULL
        ORDER BY x.started_at DESC
        LIMIT 1
    ) e ON true
    WHERE s.session_hour IS NOT NULL
)
SELECT count(*) FILTER (WHERE v.session_number <= 1)              AS first_visits,
       count(*) FILTER (WHERE v.session_number = 2)               AS second_visits,
       count(*) FILTER (WHERE v.session_number BETWEEN 3 AND 5)   AS third_to_fifth,
       count(*) FILTER (WHERE v.session_number BETWEEN 6 AND 10)  AS sixth_to_tenth,
       count(*) FILTER (WHERE v.session_number > 10)              AS later,
       (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM g.gap)::double precision)
        FROM gaps g)                                              AS median_seconds
FROM visits v
