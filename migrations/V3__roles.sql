-- Rights that can be given apart: an owner who migrates, a writer who ships, a reader who asks. And how far the data
-- reaches, for whoever reads it, on a replica too.
--
-- Only an owner may make tables, and shipping needs one a month: a function with the owner's rights makes it, of names
-- that it puts together itself. Roles belong to a whole server and are made by whoever runs it; grant_rights() gives
-- them what they need. It is called again after each migration, which may bring tables.

ALTER TABLE journal_checkpoint ADD COLUMN newest_at timestamptz;
COMMENT ON COLUMN journal_checkpoint.newest_at IS 'Max: time of the newest record in the batches that moved this row. The greatest of all rows is how far the data reaches.';

-- Makes the partition of a month of one of the owner's own tables, or attaches one that is there. The caller holds a
-- lock, sets its lock_timeout and has looked whether it is needed.
CREATE FUNCTION make_partition(parent text, month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    first_day date := date_trunc('month', month);
    partition text := parent || to_char(first_day, '_YYYY_MM');
BEGIN
    IF first_day NOT BETWEEN '2000-01-01' AND '2199-12-01' THEN
        RAISE EXCEPTION 'no partition is made for a month of the year %', extract(year FROM first_day)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_class c
        WHERE c.relname = parent AND c.relkind = 'p'
          AND c.relnamespace = current_schema()::regnamespace AND c.relowner = current_user::regrole
    ) THEN
        RAISE EXCEPTION '% is no partitioned table of this schema and owner', parent
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Attaching, unlike CREATE TABLE … PARTITION OF, does not wait for reports that read the table.
    EXECUTE format('CREATE TABLE IF NOT EXISTS %I (LIKE %I INCLUDING DEFAULTS)', partition, parent);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, partition,
                   to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00',
                   to_char(first_day + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
END
$$;
COMMENT ON FUNCTION make_partition IS 'Makes a month''s partition, with the rights of the owner.';
REVOKE ALL ON FUNCTION make_partition FROM PUBLIC;

-- Gives roles what they need of all that is in this schema and its caller's own. A role that is null gets nothing.
--   writer  ships, reports and answers for tokens: rows of every table, and the functions with the owner's rights
--   reader  asks: all but what only the program itself needs, the records set aside among them, which hold addresses
CREATE FUNCTION grant_rights(writer text, reader text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    private CONSTANT text[] := ARRAY['quarantine', 'api_tokens', 'identity_keys'];
    thing record;
BEGIN
    FOR thing IN
        SELECT c.relname AS name, c.relkind IN ('r', 'p') AND c.relname <> 'refinery_schema_history' AS changes
        FROM pg_class c
        WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
          AND c.relnamespace = current_schema()::regnamespace AND c.relowner = current_user::regrole
        ORDER BY c.relname
    LOOP
        IF writer IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON %I TO %I', thing.name, writer);
            IF thing.changes THEN
                EXECUTE format('GRANT INSERT, UPDATE, DELETE ON %I TO %I', thing.name, writer);
            END IF;
        END IF;
        IF reader IS NOT NULL AND thing.name <> ALL (private) THEN
            EXECUTE format('GRANT SELECT ON %I TO %I', thing.name, reader);
        END IF;
    END LOOP;
    FOR thing IN
        SELECT p.oid::regprocedure::text AS name
        FROM pg_proc p
        WHERE p.prosecdef
          AND p.pronamespace = current_schema()::regnamespace AND p.proowner = current_user::regrole
    LOOP
        IF writer IS NOT NULL THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', thing.name, writer);
        END IF;
    END LOOP;
    IF writer IS NOT NULL THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), writer);
    END IF;
    IF reader IS NOT NULL THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), reader);
    END IF;
END
$$;
COMMENT ON FUNCTION grant_rights IS 'Gives a writer and a reader their rights; called by the owner after each migration.';
REVOKE ALL ON FUNCTION grant_rights FROM PUBLIC;

-- Whoever calls a function with the owner's rights must not choose where it looks for names.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION make_partition SET search_path = %I, pg_temp', current_schema());
END
$$;
