-- Merges what advertising cost: of each day and campaign what was reported last stands.
-- $1 site_id, $2 day, $3 spend_key, $4 campaign_id, $5 cost, $6 currency, $7 clicks, $8 impressions, $9 received_at, $10 hash
INSERT INTO ad_spend AS s (site_id, day, spend_key, campaign_id, cost, currency, clicks, impressions, received_at, hash)
SELECT n.site_id, n.day, n.spend_key, n.campaign_id, n.cost, n.currency, n.clicks, n.impressions, n.received_at, n.hash
FROM unnest($1::integer[], $2::date[], $3::bigint[], $4::bigint[], $5::numeric[], $6::text[], $7::bigint[], $8::bigint[],
            $9::timestamptz[], $10::bigint[])
    AS n(site_id, day, spend_key, campaign_id, cost, currency, clicks, impressions, received_at, hash)
ORDER BY n.site_id, n.day, n.spend_key
ON CONFLICT (site_id, day, spend_key) DO UPDATE SET
    campaign_id = excluded.campaign_id, cost = excluded.cost, currency = excluded.currency, clicks = excluded.clicks,
    impressions = excluded.impressions, received_at = excluded.received_at, hash = excluded.hash
WHERE (excluded.received_at, excluded.hash) > (s.received_at, s.hash)
