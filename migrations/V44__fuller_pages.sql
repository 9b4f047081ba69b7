-- Pages of sessions are filled to three quarters instead of half.
--
-- A session changes with every page view, and stays on its page where there is room; else every index gets a line more. Half a page was
-- kept free for that. But the sessions of one page began together and change at moments of their own, and what a change leaves behind
-- is cleared away by the next: a quarter is enough, as all changes of 400,000 page views that came one by one stayed on their page, and
-- the table has a third less to keep and to read. Of a backlog, where all sessions of a page change in one transaction, about half do.

DO $migration$
DECLARE
    partition regclass;
BEGIN
    -- As in V6, but for how full its pages become.
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
                           home, partition, parent, CASE WHEN parent = 'sessions' THEN 75 ELSE 100 END);
            EXECUTE format('ALTER TABLE %1$I.%3$I ATTACH PARTITION %1$I.%2$I FOR VALUES FROM (%4$L) TO (%5$L)',
                           home, partition, parent,
                           to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00',
                           to_char(first_day + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
        END
        $$
    $create$, 'THIS_SCHEMA', quote_literal(current_schema())), 'our.', quote_ident(current_schema()) || '.');

    -- Pages that are half full are filled further. No partition comes or goes meanwhile.
    PERFORM pg_advisory_xact_lock(x'75746d6400000002'::bigint);
    FOR partition IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'sessions'::regclass LOOP
        EXECUTE format('ALTER TABLE %s SET (fillfactor = 75)', partition);
    END LOOP;
END
$migration$;
