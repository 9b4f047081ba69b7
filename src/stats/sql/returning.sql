-- How many sessions are somebody's first, second, …, and how long had those who come again been away?
--
-- $1–$20   window and filters, as report_sessions() takes them
-- One row: first_visits, second_visits, third_to_fifth, sixth_to_tenth, later bigint;
--          median_seconds double precision, from the start of the visitor's session before, whatever window that is in
SELECT count(*) FILTER (WHERE s.session_number <= 1)              AS first_visits,
       count(*) FILTER (WHERE s.session_number = 2)               AS second_visits,
       count(*) FILTER (WHERE s.session_number BETWEEN 3 AND 5)   AS third_to_fifth,
       count(*) FILTER (WHERE s.session_number BETWEEN 6 AND 10)  AS sixth_to_tenth,
       count(*) FILTER (WHERE s.session_number > 10)              AS later,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM s.started_at - b.started_at)::double precision)
                                                                  AS median_seconds
FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
LEFT JOIN LATERAL (
    SELECT x.started_at
    FROM sessions x
    WHERE s.session_number > 1 AND x.visitor_id = s.visitor_id AND x.started_at < s.started_at AND NOT x.continued
    ORDER BY x.started_at DESC
    LIMIT 1
) b ON true
