-- What did the shop say that advertising cost?
--
-- $1 date    first day, null = since ever    $2 date  first day after
-- $3 text[]  sites, null = all               $4 text  the report's currency
-- $5–$16     LIKE patterns that one of must match, and none of may: source, medium, campaign, content, term, channel
-- $17 integer  minor units of the report's currency
-- One row: cost numeric (null = nothing is known), left_out (rows in another currency that has no rate) bigint
SELECT sum(CASE WHEN t.is_same THEN s.cost ELSE worth(s.cost, false, r.factor, r.divisor, $17::integer) END) AS cost,
       count(*) FILTER (WHERE NOT t.is_same AND r.factor IS NULL) AS left_out
FROM ad_spend s
CROSS JOIN LATERAL (SELECT coalesce(s.currency, $4::text) IS NOT DISTINCT FROM $4::text AS is_same) t
LEFT JOIN LATERAL exchange_rate(s.currency, $4, s.day) r ON true
LEFT JOIN campaign_labels c ON c.campaign_id = s.campaign_id
CROSS JOIN LATERAL (SELECT coalesce(c.source, '(none)')      AS source,
                           coalesce(c.medium, '(none)')      AS medium,
                           coalesce(c.campaign, '(none)')    AS campaign,
                           coalesce(c.content, '(none)')     AS content,
                           coalesce(c.term, '(none)')        AS term,
                           coalesce(c.channel, 'Unassigned') AS channel) l
WHERE ($1::date IS NULL OR s.day >= $1) AND s.day < $2::date
  AND ($3::text[] IS NULL OR s.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($3)))
  AND ($5::text[] IS NULL OR l.source LIKE ANY ($5)) AND ($6::text[] IS NULL OR l.source NOT LIKE ALL ($6))
  AND ($7::text[] IS NULL OR l.medium LIKE ANY ($7)) AND ($8::text[] IS NULL OR l.medium NOT LIKE ALL ($8))
  AND ($9::text[] IS NULL OR l.campaign LIKE ANY ($9)) AND ($10::text[] IS NULL OR l.campaign NOT LIKE ALL ($10))
  AND ($11::text[] IS NULL OR l.content LIKE ANY ($11)) AND ($12::text[] IS NULL OR l.content NOT LIKE ALL ($12))
  AND ($13::text[] IS NULL OR l.term LIKE ANY ($13)) AND ($14::text[] IS NULL OR l.term NOT LIKE ALL ($14))
  AND ($15::text[] IS NULL OR lower(l.channel) LIKE ANY ($15))
  AND ($16::text[] IS NULL OR lower(l.channel) NOT LIKE ALL ($16))
