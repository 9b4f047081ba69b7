-- What was done in sessions, column by column: what funnels and lists of products read in place of events.
--
-- A funnel looked at every session of its window for the first times of its steps, and at the events of those whose first times
-- do not tell; a list of products at every event of its days. Here the day of V26 has also what its sessions did: of each how
-- many actions, and one after the other their kinds, times and products, in columns of their own, so that a report reads what it
-- asks for. Page views, which most events are, have their times alone. A session that continues a cookieless one has what was done
-- in both. Of what retention has dropped the first times that sessions keep are left, without their products.
--
-- The rule stays that of V5, since whoever writes an event changes its session in the same transaction. Two things change what
-- a session did and not the session, and leave a mark, too: a change of its cookieless beginning, and the end of a month of events
-- (src/store/retention.rs).
--
-- A program older than this packs days without what was done, and those that are packed already have none: null says so. Such a
-- day is told from its sessions as if all of its hours had marks, and is packed again.

ALTER TABLE session_columns
    ADD COLUMN begins     bytea,                 -- from where it began, without a cookie, to started_at, microseconds
    ADD COLUMN lasts      bytea,                 -- from started_at to last_seen, microseconds
    ADD COLUMN actions    bytea,                 -- how many
    ADD COLUMN views      bytea,                 -- how many page views whose times are known
    ADD COLUMN kinds      bytea,                 -- of actions: ids, as those of sessions
    ADD COLUMN times      bytea,                 -- of actions: microseconds from started_at
    ADD COLUMN products   bytea,                 -- of actions: ids
    ADD COLUMN view_times bytea,                 -- of page views: microseconds from started_at
    ADD COLUMN buyers     bytea;                 -- of converted sessions: the first eight bytes of SHA-256 of the session id
COMMENT ON COLUMN session_columns.flags IS '1 bot, 2 bounced, 4 converted, 8 lead, 16 registration, 32 known for a day only (identity 2).';
COMMENT ON COLUMN session_columns.actions IS 'All but page views; null: packed by a program that knew nothing of them.';

ALTER TABLE session_columns
    ALTER begins SET STORAGE EXTERNAL, ALTER lasts SET STORAGE EXTERNAL, ALTER actions SET STORAGE EXTERNAL,
    ALTER views SET STORAGE EXTERNAL, ALTER kinds SET STORAGE EXTERNAL, ALTER times SET STORAGE EXTERNAL,
    ALTER products SET STORAGE EXTERNAL, ALTER view_times SET STORAGE EXTERNAL, ALTER buyers SET STORAGE EXTERNAL;

DO $migration$
BEGIN
    -- As before, and for the beginning of a visit the hour of the session that it is told with.
    EXECUTE replace($create$
        CREATE OR REPLACE FUNCTION mark_hours() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            INSERT INTO THIS_SCHEMA.dirty_hours SELECT DISTINCT c.session_hour FROM changed c;
            INSERT INTO THIS_SCHEMA.unjudged_hours SELECT DISTINCT c.session_hour FROM changed c;
            IF EXISTS (SELECT FROM changed c WHERE c.continued) THEN
                -- One by one, whatever the planner thinks of their number.
                INSERT INTO THIS_SCHEMA.dirty_hours
                SELECT DISTINCT s.session_hour
                FROM changed c
                CROSS JOIN LATERAL (
                    SELECT x.visitor_id FROM THIS_SCHEMA.visitors x WHERE x.minted_from = c.visitor_id OFFSET 0
                ) v
                CROSS JOIN LATERAL (
                    SELECT x.session_hour
                    FROM THIS_SCHEMA.sessions x
                    WHERE x.visitor_id = v.visitor_id AND (x.landing).started_at IS NOT NULL
                      AND x.session_hour >= c.session_hour AND x.session_hour < c.session_hour + interval '72 hours'
                    OFFSET 0
                ) s
                WHERE c.continued;
            END IF;
            RETURN NULL;
        END
        $$
    $create$, 'THIS_SCHEMA', quote_ident(current_schema()));
END
$migration$;
COMMENT ON FUNCTION mark_hours IS 'Marks the hours of the sessions that a statement changed, and those of sessions that continue them; with the rights of the owner, so that a writer who was given none yet is not held up.';
