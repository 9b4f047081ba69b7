-- Which visitors who came in the window had their first touch later than they came?
--
-- $1 timestamptz  first instant of the window, null = since ever, $2 timestamptz  first instant after it
-- Rows: visitor_id uuid, campaign_id bigint of their first touch
SELECT v.visitor_id, v.first_campaign_id AS campaign_id
FROM visitors v
WHERE v.first_touch_at > v.first_seen AND v.first_campaign_id IS NOT NULL
  AND v.first_seen >= coalesce($1::timestamptz - interval '2 days', '-infinity') AND v.first_seen < $2::timestamptz
