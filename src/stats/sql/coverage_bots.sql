-- Which programs came, and why are they taken for such? The hour is that of the request: those of a window's first and last
-- hour are counted whole.
--
-- $1 timestamptz, $2 timestamptz  window, $3 text[] sites, null = all
-- Rows, the most hits first: bot text, reasons integer (union), rules smallint (newest), hits bigint, total bigint (of all)
SELECT b.bot, bit_or(b.reasons) AS reasons, max(b.rules) AS rules, sum(b.hits)::bigint AS hits,
       (sum(sum(b.hits)) OVER ())::bigint AS total
FROM bot_hits b
WHERE ($1::timestamptz IS NULL OR b.hour > $1 - interval '1 hour') AND b.hour < $2::timestamptz
  AND ($3::text[] IS NULL OR b.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($3)))
GROUP BY b.bot
ORDER BY hits DESC, b.bot
LIMIT 100
