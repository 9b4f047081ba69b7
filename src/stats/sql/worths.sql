-- What are orders in other currencies worth in the report's?
--
-- $1 text[] currency, $2 timestamptz[] placed_at, $3, $4, $5, $6 numeric[] gross, paid, refunded and what counts as revenue of each
-- $7 text the report's currency, $8 integer its minor units, $9 text in whose days
-- Rows in their order: counted boolean (a rate is known); gross, paid, refunded, revenue numeric, null without one
SELECT r.factor IS NOT NULL AS counted,
       worth(o.gross, false, r.factor, r.divisor, $8::integer) AS gross,
       worth(o.paid, false, r.factor, r.divisor, $8) AS paid,
       worth(o.refunded, false, r.factor, r.divisor, $8) AS refunded,
       worth(o.revenue, false, r.factor, r.divisor, $8) AS revenue
FROM unnest($1::text[], $2::timestamptz[], $3::numeric[], $4::numeric[], $5::numeric[], $6::numeric[])
     WITH ORDINALITY AS o(currency, placed_at, gross, paid, refunded, revenue, place)
LEFT JOIN LATERAL exchange_rate(o.currency, $7::text, (o.placed_at AT TIME ZONE $9::text)::date) r ON true
ORDER BY o.place
