-- Counts requests of bots.
-- $1 hour, $2 site_id, $3 bot, $4 reasons, $5 hits, $6 rules
INSERT INTO bot_hits AS b (hour, site_id, bot, reasons, hits, rules)
SELECT n.hour, n.site_id, n.bot, n.reasons, n.hits, n.rules
FROM unnest($1::timestamptz[], $2::integer[], $3::text[], $4::integer[], $5::bigint[], $6::smallint[])
    AS n(hour, site_id, bot, reasons, hits, rules)
ORDER BY n.hour, n.site_id, n.bot COLLATE "C", n.reasons
ON CONFLICT (hour, site_id, bot, reasons) DO UPDATE SET
    hits  = b.hits + excluded.hits,
    rules = greatest(b.rules, excluded.rules)
