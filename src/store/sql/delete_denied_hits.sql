-- Deletes some of the counts of people who deny being known, from before the horizon.
-- $1 horizon, $2 how many at most
DELETE FROM denied_hits d
WHERE (d.quarter, d.site_id, d.campaign_id) IN (
    SELECT o.quarter, o.site_id, o.campaign_id FROM denied_hits o
    WHERE o.quarter < $1::timestamptz LIMIT $2::bigint FOR UPDATE SKIP LOCKED
)
