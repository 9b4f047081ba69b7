-- Deletes some of what told actions are known by, from before the horizon: none of that time is taken any more.
-- $1 horizon, $2 how many at most
DELETE FROM told_actions t
WHERE (t.site_id, t.kind_id, t.reference) IN (
    SELECT o.site_id, o.kind_id, o.reference FROM told_actions o
    WHERE o.at < $1::timestamptz LIMIT $2::bigint FOR UPDATE SKIP LOCKED
)
