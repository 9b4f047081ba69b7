-- Rights that hold: make_partition() calls nothing that others may have made, names of schemas and roles may be any, and
-- grant_rights() gives exactly what it says or refuses.

-- As before, but no schema that others may write to is searched: a function of theirs, made for the very types of a call,
-- would be preferred to the system's own and run with the owner's rights. The schema is therefore written into the text.
DO $migration$
BEGIN
    EXECUTE replace($create$
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
            -- Attaching, unlike CREATE TABLE … PARTITION OF, does not wait for reports that read the table.
            EXECUTE format('CREATE TABLE IF NOT EXISTS %1$I.%2$I (LIKE %1$I.%3$I INCLUDING DEFAULTS)', home, partition, parent);
            EXECUTE format('ALTER TABLE %1$I.%3$I ATTACH PARTITION %1$I.%2$I FOR VALUES FROM (%4$L) TO (%5$L)',
                           home, partition, parent,
                           to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00',
                           to_char(first_day + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
        END
        $$
    $create$, 'THIS_SCHEMA', quote_literal(current_schema()));
END
$migration$;

-- What no reader may see: a migration that brings such a table replaces this list.
CREATE FUNCTION private_tables() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['quarantine', 'api_tokens', 'identity_keys']
$$;

-- Gives roles exactly what they need of all that is in this schema and its caller's own, and takes from them what else
-- they had of it. A role that is null is left as it is.
--   writer  ships, reports and answers for tokens: rows of every table, and all functions
--   reader  asks: all but what only the program itself needs, the records set aside among them, which hold addresses;
--           no function with the owner's rights
-- It refuses who could do more in spite of it.
CREATE OR REPLACE FUNCTION grant_rights(writer text, reader text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    private CONSTANT text[] := private_tables();
    grantee text;
    thing record;
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = current_schema() AND c.relname = 'journal_checkpoint'
          AND pg_get_userbyid(c.relowner) = current_user
    ) THEN
        RAISE EXCEPTION 'the tables do not belong to %; their owner gives the rights', current_user
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF writer = reader THEN
        RAISE EXCEPTION 'the writer and the reader are the same role, %', writer
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOREACH grantee IN ARRAY array_remove(ARRAY[writer, reader], NULL) LOOP
        -- Of a role that does not exist, and of PUBLIC, which is everybody, the first of these functions says so.
        IF pg_has_role(grantee, current_user, 'MEMBER') THEN
            RAISE EXCEPTION '% has all rights of the owner, %', grantee, current_user
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF has_schema_privilege(grantee, current_schema(), 'CREATE') THEN
            RAISE EXCEPTION '% may create functions in the schema %, which others would run; take that away first: '
                            'REVOKE CREATE ON SCHEMA % FROM PUBLIC', grantee, current_schema(), current_schema()
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF NOT has_schema_privilege(grantee, current_schema(), 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), grantee);
        END IF;
    END LOOP;
    FOR thing IN
        SELECT c.oid, c.relname AS name, c.relname = ANY (private) AS is_private,
               c.relkind IN ('r', 'p') AND c.relname <> 'refinery_schema_history' AS changes
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
          AND n.nspname = current_schema() AND pg_get_userbyid(c.relowner) = current_user
        ORDER BY c.relname
    LOOP
        IF writer IS NOT NULL THEN
            EXECUTE format('REVOKE ALL ON %I FROM %I', thing.name, writer);
            EXECUTE format('GRANT SELECT ON %I TO %I', thing.name, writer);
            IF thing.changes THEN
                EXECUTE format('GRANT INSERT, UPDATE, DELETE ON %I TO %I', thing.name, writer);
            END IF;
        END IF;
        IF reader IS NOT NULL THEN
            EXECUTE format('REVOKE ALL ON %I FROM %I', thing.name, reader);
            IF NOT thing.is_private THEN
                EXECUTE format('GRANT SELECT ON %I TO %I', thing.name, reader);
            END IF;
            IF has_table_privilege(reader, thing.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
               OR thing.is_private AND has_table_privilege(reader, thing.oid, 'SELECT') THEN
                RAISE EXCEPTION '% has rights to % that no reader may have, by another role or because everybody has them',
                                reader, thing.name
                    USING ERRCODE = 'invalid_parameter_value';
            END IF;
        END IF;
    END LOOP;
    FOR thing IN
        SELECT p.oid::regprocedure::text AS name, p.prosecdef AS as_owner
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = current_schema() AND pg_get_userbyid(p.proowner) = current_user
          AND p.prokind = 'f' AND p.proname <> 'grant_rights'
        ORDER BY p.oid
    LOOP
        IF writer IS NOT NULL THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', thing.name, writer);
        END IF;
        IF reader IS NOT NULL AND thing.as_owner THEN
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', thing.name, reader);
        ELSIF reader IS NOT NULL THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', thing.name, reader);
        END IF;
    END LOOP;
END
$$;
