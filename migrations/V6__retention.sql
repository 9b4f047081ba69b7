-- Retention: what is old goes, month by month, and what must not change by that stays as it is.
--
-- How it goes
--   * A horizon is the beginning of a month. Whatever began before it is gone or going: from the moment the horizon
--     moves no batch stores facts from before it, and no partition is made for them. So a month does not change any
--     more while it is counted and dropped, and an old journal that comes late does not bring it back.
--   * Partitions are dropped with the owner's rights by drop_partition(), which drops only what lies before the
--     horizon, never anything of the last three months, and a month of sessions only when all of it is in
--     visitor_months and nothing of it waits to be summed up.
--   * Orders are kept. Those whose touches are gone keep the credits they had (orders.credits_stand).
--   * Rows of dictionaries stay: they are few, hold nothing of a person, and rollups name them.

-- ---------------------------------------------------------------- horizons

CREATE TABLE retention_horizons (
    kind     text        PRIMARY KEY,            -- events, sessions; visitors, bot_hits, quarantine
    horizon  timestamptz NOT NULL,               -- max
    moved_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE retention_horizons IS 'Up to when retention has gone, by kind: what is older is not kept, and not taken in when it comes late. events: events, touches, product_views and session_cookies.';

CREATE TABLE upkeep_clock (
    single       boolean     PRIMARY KEY DEFAULT true CHECK (single),
    seen_at      timestamptz NOT NULL,
    steady_since timestamptz NOT NULL            -- since when upkeep saw no jump of the clock and no long pause
);
COMMENT ON TABLE upkeep_clock IS 'The database''s clock as upkeep saw it. After a jump, or a pause that may hide one, retention waits.';

-- Whose horizon a partitioned table follows.
CREATE FUNCTION retention_kind(parent text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN parent = 'sessions' THEN 'sessions' ELSE 'events' END
$$;

CREATE VIEW fact_partitions AS
SELECT p.relname::text AS parent,
       c.relname::text AS name,
       c.oid AS relation,
       retention_kind(p.relname::text) AS kind,
       to_date(right(c.relname, 7), 'YYYY_MM') AS month,
       (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' AS ends_at
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_class p ON p.oid = i.inhparent
WHERE i.inhparent IN ('sessions'::regclass, 'events'::regclass, 'touches'::regclass, 'product_views'::regclass,
                      'session_cookies'::regclass)
  AND c.relname ~ '_[0-9]{4}_[0-9]{2}$';
COMMENT ON VIEW fact_partitions IS 'The months there are of each table of facts.';

-- ---------------------------------------------------------------- what outlives sessions

CREATE TABLE visitor_months (
    visitor_id     uuid        NOT NULL,
    month          date        NOT NULL,         -- of session_hour, UTC
    site_id        integer     NOT NULL,
    bot            boolean     NOT NULL,         -- as session_facts has it
    identity       smallint    NOT NULL,         -- of the visitor
    first_seen     timestamptz NOT NULL,         -- of the visitor: the cohort
    campaign_id    bigint,                       -- of the first session of the month; null: direct
    sessions       integer     NOT NULL,
    page_views     integer     NOT NULL,
    conversions    integer     NOT NULL,         -- sessions with an order
    lead_sessions  integer     NOT NULL,
    started        smallint[]  NOT NULL,         -- quarter hours from the beginning of the month in which sessions began
    PRIMARY KEY (visitor_id, month, site_id, bot)
);
CREATE INDEX visitor_months_month ON visitor_months USING brin (month);
COMMENT ON TABLE visitor_months IS 'What cohorts need of months whose sessions were dropped, written in the transaction that drops them; of other months the sessions say it. Quarter hours are exact in every zone.';

-- ---------------------------------------------------------------- orders

ALTER TABLE orders ADD COLUMN credits_stand boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN orders.credits_stand IS 'The facts that the join and the credits were computed from are not all there any more: both stay as they are. Amounts are still computed anew.';

-- ---------------------------------------------------------------- partitions

-- As in V4, the schema is written into the text of what runs with the owner's rights.
DO $migration$
BEGIN
    -- As before, but not for a month that retention has passed.
    EXECUTE replace(replace($create$
        CREATE OR REPLACE FUNCTION make_partition(parent text, month date) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        DECLARE
            home CONSTANT text := THIS_SCHEMA;
            first_day CONSTANT date := date_trunc('month', month);
            partition CONSTANT text := parent || to_char(first_day, '_YYYY_MM');
        BEGIN
            IF first_day NOT BETWEEN '2000-01-01' AND '2199-12-01' THEN
                RAISE EXCEPTION 'no partition is made for a month of the year %', extract(year FROM first_day)
                    USING ERRCODE = 'invalid_parameter_value';
            END IF;
            IF NOT EXISTS (
                SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = home AND c.relname = parent AND c.relkind = 'p'
                  AND pg_get_userbyid(c.relowner) = current_user
            ) THEN
                RAISE EXCEPTION '% is no partitioned table of this schema and owner', parent
                    USING ERRCODE = 'invalid_parameter_value';
            END IF;
            IF EXISTS (
                SELECT FROM our.retention_horizons h
                WHERE h.kind = our.retention_kind(parent) AND h.horizon > first_day::timestamp AT TIME ZONE 'UTC'
            ) THEN
                RAISE EXCEPTION '% is not kept any more', partition
                    USING ERRCODE = 'object_not_in_prerequisite_state';
            END IF;
            -- Attaching, unlike CREATE TABLE … PARTITION OF, does not wait for reports that read the table.
            -- A session changes with every page view: room on its page lets that leave the indexes alone.
            EXECUTE format('CREATE TABLE IF NOT EXISTS %1$I.%2$I (LIKE %1$I.%3$I INCLUDING DEFAULTS) WITH (fillfactor = %4$s)',
                           home, partition, parent, CASE WHEN parent = 'sessions' THEN 50 ELSE 100 END);
            EXECUTE format('ALTER TABLE %1$I.%3$I ATTACH PARTITION %1$I.%2$I FOR VALUES FROM (%4$L) TO (%5$L)',
                           home, partition, parent,
                           to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00',
                           to_char(first_day + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
        END
        $$
    $create$, 'THIS_SCHEMA', quote_literal(current_schema())), 'our.', quote_ident(current_schema()) || '.');

    -- Drops a month's partition of one of the owner's tables of facts, if it is due. The caller holds the locks, sets its
    -- lock_timeout, and has written the month to visitor_months where it is one of sessions.
    EXECUTE replace(replace($create$
        CREATE FUNCTION drop_partition(parent text, month date) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        DECLARE
            home CONSTANT text := THIS_SCHEMA;
            first_day CONSTANT date := date_trunc('month', month);
            found record;
            written bigint;
            counted bigint;
        BEGIN
            SELECT p.* INTO found
            FROM our.fact_partitions p JOIN pg_class c ON c.oid = p.relation
            WHERE p.parent = drop_partition.parent AND p.month = first_day
              AND pg_get_userbyid(c.relowner) = current_user;
            IF found IS NULL THEN
                RAISE EXCEPTION '% has no partition of facts for the month of %', parent, month
                    USING ERRCODE = 'invalid_parameter_value';
            END IF;
            -- Three months back from the database's clock and from the newest record, whichever is earlier: whatever a
            -- horizon says, by mistake or malice.
            IF NOT EXISTS (
                SELECT FROM our.retention_horizons h WHERE h.kind = found.kind AND found.ends_at <= h.horizon
            ) OR NOT EXISTS (
                SELECT FROM our.journal_checkpoint j
                HAVING max(j.newest_at) IS NOT NULL
                   AND found.ends_at <= least(now(), max(j.newest_at)) - interval '3 months'
            ) THEN
                RAISE EXCEPTION '% is still kept', found.name USING ERRCODE = 'object_not_in_prerequisite_state';
            END IF;
            IF parent = 'sessions' THEN
                SELECT coalesce(sum(v.sessions), 0) INTO written FROM our.visitor_months v WHERE v.month = first_day;
                EXECUTE format('SELECT count(*) FROM %s', found.relation::regclass) INTO counted;
                IF written <> counted THEN
                    RAISE EXCEPTION '% has % sessions, visitor_months % of that month', found.name, counted, written
                        USING ERRCODE = 'object_not_in_prerequisite_state';
                END IF;
                -- From here on nobody changes a session, and so leaves no mark.
                EXECUTE format('LOCK TABLE ONLY %I.%I IN ACCESS EXCLUSIVE MODE', home, parent);
                IF EXISTS (
                    SELECT FROM our.dirty_hours d
                    WHERE d.session_hour >= first_day::timestamp AT TIME ZONE 'UTC' AND d.session_hour < found.ends_at
                ) THEN
                    RAISE EXCEPTION 'not all of % is summed up yet', found.name
                        USING ERRCODE = 'object_not_in_prerequisite_state';
                END IF;
            END IF;
            EXECUTE format('DROP TABLE %s', found.relation::regclass);
        END
        $$
    $create$, 'THIS_SCHEMA', quote_literal(current_schema())), 'our.', quote_ident(current_schema()) || '.');
END
$migration$;
COMMENT ON FUNCTION drop_partition IS 'Drops a month''s partition that retention has passed, with the rights of the owner.';
REVOKE ALL ON FUNCTION drop_partition FROM PUBLIC;
