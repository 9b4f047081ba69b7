-- What the shop said by the API that somebody did is found again by whom it names, and months with landings that were
-- joined go like all others.
--
-- A session that is the beginning of another one is counted with that one, and not in visitor_months. Before its month was
-- dropped all of its sessions were looked for there: a month with one such session was never dropped, and no visitor either.

DO $migration$
BEGIN
    -- As in V6, but for the sessions that visitor_months leaves out.
    EXECUTE replace(replace($create$
        CREATE OR REPLACE FUNCTION drop_partition(parent text, month date) RETURNS void
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
                EXECUTE format('SELECT count(*) FROM %s WHERE NOT continued', found.relation::regclass) INTO counted;
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

-- An action that names an order alone is joined to nobody: its row of events is found by its time, which stands here. Of one that names
-- a visitor alone that row names the visitor from now on.
ALTER TABLE told_actions ADD COLUMN order_id text;
CREATE INDEX told_actions_order ON told_actions (site_id, order_id) WHERE order_id IS NOT NULL;
COMMENT ON COLUMN told_actions.order_id IS 'Which order it names, when it names no session.';
