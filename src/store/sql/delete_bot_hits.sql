-- Deletes some of the hours of bots before the horizon.
-- $1 horizon, $2 how many at most
DELETE FROM bot_hits b
WHERE (b.hour, b.site_id, b.bot, b.reasons) IN (
    SELECT o.hour, o.site_id, o.bot, o.reasons FROM bot_hits o
    WHERE o.hour < $1::timestamptz LIMIT $2::bigint FOR UPDATE SKIP LOCKED
)
