-- What is known of one session?
--
-- $1 uuid  session id
-- At most one row: columns of session_texts, and continued_in, begun_in uuid, click_ids jsonb as in session_details
SELECT d.*, CASE WHEN d.continued THEN continued_in(d.visitor_id, d.session_id) END AS continued_in,
       CASE WHEN d.begun THEN begun_in(d.visitor_id, d.session_id) END AS begun_in,
       CASE WHEN d.begun_by_touch_at IS NULL THEN d.own_click_ids
            ELSE begun_by(d.visitor_id, d.begun_by_touch_at) END AS click_ids
FROM session_texts d
WHERE d.session_id = $1 AND d.session_hour = hour_of($1)
ORDER BY d.first_seen
LIMIT 1
