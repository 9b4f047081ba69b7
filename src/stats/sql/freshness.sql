-- How far does what this database has reach? And how far is it behind the one it follows, if it follows one: not at all
-- when it has applied what it received and is still connected, else the age of the last transaction it applied, or of
-- itself when it has applied none since it started. What was recorded by a clock that was ahead reaches to when it was shipped.
--
-- And what does it not keep any more?
--
-- One row: data_through timestamptz, null when nothing was shipped yet; lag double precision in seconds, null when it
-- follows none; sessions_since, clicks_since timestamptz, null while all are kept
SELECT (SELECT max(least(newest_at, at)) FROM journal_checkpoint WHERE newest_at IS NOT NULL) AS data_through,
       CASE WHEN NOT pg_is_in_recovery() THEN NULL
            WHEN pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()
                 AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
            ELSE extract(epoch FROM now() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time()))
       END::double precision AS lag,
       (SELECT h.horizon FROM retention_horizons h WHERE h.kind = 'sessions') AS sessions_since,
       (SELECT h.horizon FROM retention_horizons h WHERE h.kind = 'events') AS clicks_since
