-- By which rate is an order in another currency turned into the report's?
--
-- $1 integer site id, $2 text order id; $3 text the report's currency, $4 integer its minor units, $5 text what revenue is,
-- $6 text  the zone of the shop's days
-- At most one row, of an order in another currency: day (the order's) text; rate text, rate_day text, by_way_of text and
--          revenue text, all null where no rate is known
SELECT (o.placed_at AT TIME ZONE $6::text)::date::text AS day, trim_scale(round(r.factor / r.divisor, 12))::text AS rate,
       r.rate_day::text AS rate_day, r.by_way_of,
       worth(CASE $5::text WHEN 'paid' THEN o.paid - o.refunded ELSE coalesce(o.net, 0) END,
             false, r.factor, r.divisor, $4::integer)::text AS revenue
FROM orders o
LEFT JOIN LATERAL exchange_rate(o.currency, $3::text, (o.placed_at AT TIME ZONE $6)::date) r ON true
WHERE o.site_id = $1::integer AND o.order_id = $2::text AND o.currency <> $3
