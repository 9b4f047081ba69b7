-- Where horizons belong that stand before it. Time is what the clocks of database and proxy and the newest record agree
-- on: the earliest of them. Horizons of partitions move only when there is one to drop; visitors go after the sessions
-- that are counted with them.
-- $1 kinds, $2 months that each is kept, $3 the proxy's clock
-- → kind, horizon
SELECT k.kind, t.horizon
FROM unnest($1::text[], $2::integer[]) AS k(kind, months)
CROSS JOIN (
    SELECT least(now(), $3::timestamptz, max(j.newest_at)) AS at FROM journal_checkpoint j
    HAVING max(j.newest_at) IS NOT NULL
) AS clock
CROSS JOIN LATERAL (
    SELECT (date_trunc('month', clock.at AT TIME ZONE 'UTC') - make_interval(months => k.months)) AT TIME ZONE 'UTC'
        AS horizon
) AS t
WHERE NOT EXISTS (SELECT FROM retention_horizons h WHERE h.kind = k.kind AND h.horizon >= t.horizon)
  AND (k.kind NOT IN ('events', 'sessions')
       OR EXISTS (SELECT FROM fact_partitions p WHERE p.kind = k.kind AND p.ends_at <= t.horizon))
  AND (k.kind <> 'visitors'
       OR NOT EXISTS (SELECT FROM fact_partitions p WHERE p.kind = 'sessions' AND p.ends_at <= t.horizon))
ORDER BY k.kind
