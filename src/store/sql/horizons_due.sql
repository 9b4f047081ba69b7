-- Where horizons belong that stand before it. Horizons of partitions move only when there is one to drop; visitors go
-- after the sessions that are counted with them.
--
-- A clock that is wrong must wipe nothing. So time is the earliest of the database's clock, the proxy's and the newest
-- record's; and it is believed only if more than half of the months that are kept up to then have sessions: a clock
-- that is years ahead has but a few.
-- $1 kinds, $2 months that each is kept, $3 the proxy's clock, $4 months that the shortest is kept
-- → kind, horizon
WITH clock AS MATERIALIZED (
    SELECT date_trunc('month', least(now(), $3::timestamptz, max(j.newest_at)) AT TIME ZONE 'UTC') AS month
    FROM journal_checkpoint j HAVING max(j.newest_at) IS NOT NULL
), lived AS MATERIALIZED (
    SELECT count(*) AS months
    FROM clock c
    CROSS JOIN generate_series(0, $4::integer) AS n(back)
    CROSS JOIN LATERAL (
        SELECT FROM sessions s
        WHERE s.session_hour >= (c.month - make_interval(months => n.back)) AT TIME ZONE 'UTC'
          AND s.session_hour < (c.month - make_interval(months => n.back - 1)) AT TIME ZONE 'UTC'
        LIMIT 1
    ) AS one
)
SELECT k.kind, t.horizon
FROM unnest($1::text[], $2::integer[]) AS k(kind, months)
CROSS JOIN clock c
CROSS JOIN LATERAL (SELECT (c.month - make_interval(months => k.months)) AT TIME ZONE 'UTC' AS horizon) AS t
WHERE NOT EXISTS (SELECT FROM retention_horizons h WHERE h.kind = k.kind AND h.horizon >= t.horizon)
  AND (k.kind NOT IN ('events', 'sessions')
       OR EXISTS (SELECT FROM fact_partitions p WHERE p.kind = k.kind AND p.ends_at <= t.horizon))
  AND (k.kind <> 'visitors'
       OR NOT EXISTS (SELECT FROM fact_partitions p WHERE p.kind = 'sessions' AND p.ends_at <= t.horizon))
  AND 2 * (SELECT l.months FROM lived l) > $4::integer + 1
ORDER BY k.kind
