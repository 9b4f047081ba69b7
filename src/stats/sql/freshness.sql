-- How far does what this database has reach? And how far is it behind the one it follows, if it follows one: not at all
-- when it has applied what it received and is still connected, else the age of the last transaction it applied, or of
-- itself when it has applied none since it started.
--
-- One row: data_through timestamptz, null when nothing was shipped yet; lag double precision in seconds, null when it
-- follows none
SELECT (SELECT max(newest_at) FROM journal_checkpoint) AS data_through,
       CASE WHEN NOT pg_is_in_recovery() THEN NULL
            WHEN pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()
                 AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
            ELSE extract(epoch FROM now() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time()))
       END::double precision AS lag
