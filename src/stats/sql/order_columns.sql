-- The orders of the window's days, column by column.
--
-- $1 timestamptz  first instant of the window, null = since ever, $2 timestamptz  first instant after it
-- $3 text[] columns beyond starts and flags
-- $4 timestamptz[] days with a mark, which are not told
-- Rows by day: order_day, orders, currency_names, starts, flags; the others, null those not asked for; hours with session_starts,
--       product_ids and product_names with positions
SELECT c.order_day, c.orders, c.currency_names, c.starts, c.flags,
       CASE WHEN 'session_starts' = ANY ($3::text[]) THEN c.hours END AS hours,
       CASE WHEN 'session_starts' = ANY ($3) THEN c.session_starts END AS session_starts,
       CASE WHEN 'scales' = ANY ($3) THEN c.scales END AS scales,
       CASE WHEN 'gross' = ANY ($3) THEN c.gross END AS gross,
       CASE WHEN 'paid' = ANY ($3) THEN c.paid END AS paid,
       CASE WHEN 'refunded' = ANY ($3) THEN c.refunded END AS refunded,
       CASE WHEN 'net' = ANY ($3) THEN c.net END AS net,
       CASE WHEN 'currencies' = ANY ($3) THEN c.currencies END AS currencies,
       CASE WHEN 'sites' = ANY ($3) THEN c.sites END AS sites,
       CASE WHEN 'agents' = ANY ($3) THEN c.agents END AS agents,
       CASE WHEN 'places' = ANY ($3) THEN c.places END AS places,
       CASE WHEN 'referrers' = ANY ($3) THEN c.referrers END AS referrers,
       CASE WHEN 'landing_pages' = ANY ($3) THEN c.landing_pages END AS landing_pages,
       CASE WHEN 'first' = ANY ($3) THEN c.first END AS first,
       CASE WHEN 'last' = ANY ($3) THEN c.last END AS last,
       CASE WHEN 'last_non_direct' = ANY ($3) THEN c.last_non_direct END AS last_non_direct,
       CASE WHEN 'last_paid' = ANY ($3) THEN c.last_paid END AS last_paid,
       CASE WHEN 'linear' = ANY ($3) THEN c.linear END AS linear,
       CASE WHEN 'position' = ANY ($3) THEN c."position" END AS "position",
       CASE WHEN 'time_decay' = ANY ($3) THEN c.time_decay END AS time_decay,
       CASE WHEN 'visitors' = ANY ($3) THEN c.visitors END AS visitors,
       CASE WHEN 'first_touches' = ANY ($3) THEN c.first_touches END AS first_touches,
       CASE WHEN 'keys' = ANY ($3) THEN c.keys END AS keys,
       CASE WHEN 'buyers' = ANY ($3) THEN c.buyers END AS buyers,
       CASE WHEN 'positions' = ANY ($3) THEN c.positions END AS positions,
       CASE WHEN 'positions' = ANY ($3) THEN c.product_ids END AS product_ids,
       CASE WHEN 'positions' = ANY ($3) THEN c.product_names END AS product_names,
       CASE WHEN 'told' = ANY ($3) THEN c.told END AS told
FROM order_columns c
WHERE c.order_day > coalesce($1::timestamptz - interval '24 hours', '-infinity') AND c.order_day < $2::timestamptz
  AND c.order_day <> ALL ($4::timestamptz[])
ORDER BY c.order_day
