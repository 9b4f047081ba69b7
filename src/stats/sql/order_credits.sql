-- Which touches earned one order, by model?
--
-- $1 integer site id, $2 text order id
-- Rows by model and position: model text, position smallint, session_id uuid, evidence bigint, touch_at timestamptz,
--               source, medium, campaign, content, term text (as seen), referrer text, credit integer (millionths)
SELECT k.model, k."position", k.session_id, k.evidence, k.touch_at,
       CASE WHEN k.campaign_id IS NULL THEN '(direct)' ELSE coalesce(c.source, '(none)') END AS source,
       c.medium, c.campaign, c.content, c.term, r.host AS referrer, k.credit
FROM order_credits k
LEFT JOIN campaigns c ON c.campaign_id = k.campaign_id
LEFT JOIN referrers r ON r.referrer_id = k.referrer_id
WHERE k.site_id = $1 AND k.order_id = $2
ORDER BY k.model, k."position"
