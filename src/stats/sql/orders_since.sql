-- Since when were the newest orders of the window placed, as many as are passed over?
--
-- $1 timestamptz  first instant of the window, null = since ever, $2 timestamptz  first instant after it
-- $3 text[]       sites, null = all
-- $4 timestamptz  time of the last order already given, null = from the newest
-- $5 bigint       orders to pass over
-- One row, none where there are fewer: placed_at
SELECT o.placed_at
FROM orders o
WHERE ($1::timestamptz IS NULL OR o.placed_at >= $1) AND o.placed_at < $2::timestamptz
  AND ($3::text[] IS NULL OR o.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($3)))
  AND ($4::timestamptz IS NULL OR o.placed_at <= $4)
ORDER BY o.placed_at DESC
OFFSET $5::bigint LIMIT 1
