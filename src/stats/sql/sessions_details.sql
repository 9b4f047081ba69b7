-- What is known of these sessions, newest first?
--
-- $1 uuid[] session_id, $2 timestamptz[] session_hour, $3 uuid[] visitor_id of each
-- Rows: columns of session_texts, and continued_in, begun_in uuid, click_ids jsonb as in session_details
--
-- That hours are named is for the planner: it leaves other months alone.
SELECT d.*, CASE WHEN d.continued THEN continued_in(d.visitor_id, d.session_id) END AS continued_in,
       CASE WHEN d.begun THEN begun_in(d.visitor_id, d.session_id) END AS begun_in,
       CASE WHEN d.begun_by_touch_at IS NULL THEN d.own_click_ids
            ELSE begun_by(d.visitor_id, d.begun_by_touch_at) END AS click_ids
FROM session_texts d
WHERE d.session_id = ANY ($1::uuid[]) AND d.session_hour = ANY ($2::timestamptz[])
  AND (d.session_id, d.visitor_id) IN (SELECT p.session_id, p.visitor_id FROM unnest($1, $3::uuid[]) AS p(session_id, visitor_id))
ORDER BY d.first_seen DESC, d.session_id DESC
