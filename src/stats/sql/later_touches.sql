-- Which visitors of the window came for the first time without a touch, and had one later? Or earlier, in what reports do not count.
--
-- $1 timestamptz  first instant of the window, null = since ever, $2 timestamptz  first instant after it
-- Rows: visitor_id uuid, campaign_id bigint of their first touch
SELECT v.visitor_id, v.first_campaign_id AS campaign_id
FROM sessions s
JOIN visitors v ON v.visitor_id = s.visitor_id
WHERE s.session_number = 1 AND v.first_campaign_id IS NOT NULL AND coalesce((s.landing).campaign_id, s.campaign_id) IS NULL
  AND s.started_at >= coalesce($1::timestamptz, '-infinity') AND s.started_at < $2::timestamptz
  AND s.session_hour >= coalesce($1 - interval '2 days', '-infinity') AND s.session_hour < $2
