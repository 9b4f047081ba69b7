-- What is known of these sessions, newest first?
--
-- $1 uuid[] session_id, $2 timestamptz[] session_hour, $3 uuid[] visitor_id of each
-- Rows: columns of session_names, and cookies, continued_in, begun_in, click_ids as session.sql has them
--
-- That hours are named of each table is for the planner: it leaves other months alone.
SELECT d.*, k.cookies,
       CASE WHEN d.continued THEN continued_in(d.visitor_id, d.session_id) END AS continued_in,
       CASE WHEN d.begun THEN begun_in(d.visitor_id, d.session_id) END AS begun_in,
       CASE WHEN d.begun_by_touch_at IS NULL THEN t.click_ids
            ELSE begun_by(d.visitor_id, d.begun_by_touch_at) END AS click_ids
FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[]) AS p(session_id, session_hour, visitor_id)
JOIN session_names d ON d.session_id = p.session_id AND d.session_hour = p.session_hour AND d.visitor_id = p.visitor_id
                    AND d.session_id = ANY ($1) AND d.session_hour = ANY ($2)
LEFT JOIN touches t
       ON t.session_id = d.session_id AND t.session_hour = d.session_hour AND t.visitor_id = d.visitor_id
      AND t.evidence = d.touch_evidence AND t.session_hour = ANY ($2)
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(x.name, x.value) AS cookies
    FROM session_cookies x
    WHERE x.session_id = d.session_id AND x.session_hour = d.session_hour AND x.visitor_id = d.visitor_id
      AND x.session_hour = ANY ($2)
) k ON true
ORDER BY d.first_seen DESC, d.session_id DESC
