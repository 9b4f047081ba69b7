-- What was reported of these so far?
-- $1 site_id, $2 day, $3 spend_key
-- → site_id, day, spend_key, cost, currency, clicks, impressions
SELECT s.site_id, s.day, s.spend_key, s.cost, s.currency, s.clicks, s.impressions
FROM (SELECT DISTINCT * FROM unnest($1::integer[], $2::date[], $3::bigint[]) AS n(site_id, day, spend_key)) n
JOIN ad_spend s USING (site_id, day, spend_key)
