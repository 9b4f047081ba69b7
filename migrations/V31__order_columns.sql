-- Orders column by column: what reports of money read in place of orders, credits and the sessions they are of.
--
-- A report of money joined each order of its window to its credits, and to its session where it is filtered or grouped by what
-- only a session has: one look-up after the other. A day of orders is here one row, packed as V26 packs sessions: amounts,
-- what the session of each says of its visitor, and its credits by each model. src/store/order_columns.rs packs and reads it.
--
-- The rule: an order is told rightly by the row of its day, unless that day has a mark in dirty_order_days, or the hour of its
-- session one in dirty_hours; those are read from the orders. Whoever changes an order or a credit leaves a mark of its day in
-- the same transaction, by triggers as in V5. The office (src/store/rollups.rs) deletes marks first and packs then, also the days
-- of orders whose sessions are of an hour whose mark it deletes.

CREATE TABLE dirty_order_days (
    order_day timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE dirty_order_days IS 'UTC days whose orders are not packed. Append-only, as dirty_hours.';

DO $migration$
BEGIN
    EXECUTE replace($create$
        CREATE FUNCTION mark_order_days() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            INSERT INTO THIS_SCHEMA.dirty_order_days SELECT DISTINCT THIS_SCHEMA.day_of(c.placed_at) FROM changed c;
            RETURN NULL;
        END
        $$
    $create$, 'THIS_SCHEMA', quote_ident(current_schema()));
    -- Credits change under the lock under which orders do: their days stand.
    EXECUTE replace($create$
        CREATE FUNCTION mark_credited_days() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            INSERT INTO THIS_SCHEMA.dirty_order_days
            SELECT DISTINCT THIS_SCHEMA.day_of(o.placed_at)
            FROM (SELECT DISTINCT c.site_id, c.order_id FROM changed c) c
            JOIN THIS_SCHEMA.orders o ON o.site_id = c.site_id AND o.order_id = c.order_id;
            RETURN NULL;
        END
        $$
    $create$, 'THIS_SCHEMA', quote_ident(current_schema()));
END
$migration$;
COMMENT ON FUNCTION mark_order_days IS 'Marks the days of the orders that a statement changed; with the rights of the owner, as mark_hours().';
COMMENT ON FUNCTION mark_credited_days IS 'Marks the days of the orders whose credits a statement changed.';
REVOKE ALL ON FUNCTION mark_order_days FROM PUBLIC;
REVOKE ALL ON FUNCTION mark_credited_days FROM PUBLIC;

CREATE TRIGGER orders_inserted AFTER INSERT ON orders
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_order_days();
CREATE TRIGGER orders_updated AFTER UPDATE ON orders
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_order_days();
-- An order may have been of another day.
CREATE TRIGGER orders_left AFTER UPDATE ON orders
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_order_days();
CREATE TRIGGER orders_deleted AFTER DELETE ON orders
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_order_days();
CREATE TRIGGER credits_inserted AFTER INSERT ON order_credits
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_credited_days();
CREATE TRIGGER credits_updated AFTER UPDATE ON order_credits
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_credited_days();
CREATE TRIGGER credits_deleted AFTER DELETE ON order_credits
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_credited_days();

CREATE TABLE order_columns (
    order_day        timestamptz PRIMARY KEY,    -- UTC day of placed_at
    orders           integer     NOT NULL,
    starts           bytea       NOT NULL,       -- placed_at, microseconds from order_day
    hours            bytea       NOT NULL,       -- of the session, from 1970; -1: of none
    session_starts   bytea       NOT NULL,       -- its started_at, microseconds from order_day
    flags            bytea       NOT NULL,       -- 1 of a known visitor, 2 of a bot's session, 4 its session is there, 8 no gross, 16 no net,
                                                 -- 32 of a session that a rule leaves out
    scales           bytea       NOT NULL,       -- digits after the point of the amounts
    gross            bytea       NOT NULL,
    paid             bytea       NOT NULL,
    refunded         bytea       NOT NULL,
    net              bytea       NOT NULL,
    currencies       bytea       NOT NULL,       -- places in the list, from 1; 0: none
    currency_names   text[]      NOT NULL,
    sites            bytea       NOT NULL,       -- ids, as session_columns has them
    agents           bytea       NOT NULL,
    places           bytea       NOT NULL,
    referrers        bytea       NOT NULL,
    landing_pages    bytea       NOT NULL,
    first            bytea       NOT NULL,       -- by model: how many touches earned each order, their campaigns, their credits
    last             bytea       NOT NULL,
    last_non_direct  bytea       NOT NULL,
    last_paid        bytea       NOT NULL,
    linear           bytea       NOT NULL,
    "position"       bytea       NOT NULL,
    time_decay       bytea       NOT NULL
);
COMMENT ON TABLE order_columns IS 'The orders of a day, with what their sessions say and by whom they were earned, each column packed. Right for days without a mark in dirty_order_days, and of these for orders whose session''s hour has none in dirty_hours.';

-- They are packed already.
ALTER TABLE order_columns
    ALTER starts SET STORAGE EXTERNAL, ALTER hours SET STORAGE EXTERNAL,
    ALTER session_starts SET STORAGE EXTERNAL, ALTER flags SET STORAGE EXTERNAL,
    ALTER scales SET STORAGE EXTERNAL, ALTER gross SET STORAGE EXTERNAL, ALTER paid SET STORAGE EXTERNAL,
    ALTER refunded SET STORAGE EXTERNAL, ALTER net SET STORAGE EXTERNAL, ALTER currencies SET STORAGE EXTERNAL,
    ALTER sites SET STORAGE EXTERNAL, ALTER agents SET STORAGE EXTERNAL, ALTER places SET STORAGE EXTERNAL,
    ALTER referrers SET STORAGE EXTERNAL, ALTER landing_pages SET STORAGE EXTERNAL, ALTER first SET STORAGE EXTERNAL,
    ALTER last SET STORAGE EXTERNAL, ALTER last_non_direct SET STORAGE EXTERNAL, ALTER last_paid SET STORAGE EXTERNAL,
    ALTER linear SET STORAGE EXTERNAL, ALTER "position" SET STORAGE EXTERNAL, ALTER time_decay SET STORAGE EXTERNAL;

-- The past: the office packs it beside its work.
INSERT INTO dirty_order_days SELECT DISTINCT day_of(o.placed_at) FROM orders o;
