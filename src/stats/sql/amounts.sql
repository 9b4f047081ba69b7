-- What was ordered between two instants, whatever credited it, by whom?
--
-- $1 timestamptz  first instant, null = since ever, $2 timestamptz  first instant after
-- $3 text[]  sites, null = all
-- $4–$7      the report's currency, its minor units, what revenue is, and in whose days, as report_amounts() takes them
-- Rows: visitor_id uuid; placed_at timestamptz; counted boolean (it has an exchange rate, or needs none); revenue text
SELECT a.visitor_id, a.placed_at, a.counted, coalesce(a.revenue, 0)::text AS revenue
FROM report_amounts($1, $2, $3, $4, $5, $6, $7) a
WHERE a.visitor_id IS NOT NULL
