-- Writes exchange rates: of a day and a pair the one that is imported last stands.
-- $1 day, $2 currency, $3 quote, $4 rate
-- → one row for each that was not known
INSERT INTO exchange_rates AS r (day, currency, quote, rate)
SELECT n.day, n.currency, n.quote, n.rate
FROM unnest($1::date[], $2::text[], $3::text[], $4::numeric[]) AS n(day, currency, quote, rate)
ORDER BY n.currency COLLATE "C", n.quote COLLATE "C", n.day
ON CONFLICT (currency, quote, day) DO UPDATE SET rate = excluded.rate, imported_at = now()
WHERE r.rate <> excluded.rate
RETURNING 1 AS recorded
