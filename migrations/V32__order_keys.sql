-- Whose the orders of a day are, by which ways they were reported, and how long before them their first touch was.
--
-- Reports of customers, of the ways by which orders came and of what is covered read each order by itself, with its entries and its
-- credits. Packed days (V31) have now what those look for. Telephones, e-mails and user ids are on entries: whoever changes an entry
-- leaves a mark of the day of its order.
--
-- A binary of before packs days without these columns, and those that are packed already have none: null says so. Such a day is told
-- from the orders as one with a mark is, and is packed again.

ALTER TABLE order_columns
    ADD COLUMN visitors      bytea,              -- the first eight bytes of SHA-256 of the visitor id, as session_columns has them; 0: of none
    ADD COLUMN first_touches bytea,              -- the first touch that 'linear' credits, microseconds from order_day; 0: none
    ADD COLUMN keys          bytea;              -- how many keys each order's entries name, and the first eight bytes of SHA-256 of each: of a
                                                 -- letter for its kind (p, e, u) and the keyed hash
ALTER TABLE order_columns
    ALTER visitors SET STORAGE EXTERNAL, ALTER first_touches SET STORAGE EXTERNAL, ALTER keys SET STORAGE EXTERNAL;
COMMENT ON COLUMN order_columns.flags IS 'As V31 says, and 64 reported by a rule, 128 by a header, 256 by an import, 512 by the API, 1024 by some model credited to a campaign, 2048 has a first touch.';
COMMENT ON COLUMN order_columns.keys IS 'By what customers are known. Null: packed by a binary that knew no keys, so that the day is to be packed again.';

-- Whatever belongs to an order marks its day. Looked up order by order, however many the statement changed that this is planned for.
ALTER FUNCTION mark_credited_days() RENAME TO mark_days_of_orders;
DO $migration$
BEGIN
    EXECUTE replace($create$
        CREATE OR REPLACE FUNCTION mark_days_of_orders() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            INSERT INTO THIS_SCHEMA.dirty_order_days
            SELECT DISTINCT d.order_day
            FROM (SELECT DISTINCT c.site_id, c.order_id FROM changed c) c
            CROSS JOIN LATERAL (
                SELECT THIS_SCHEMA.day_of(o.placed_at) AS order_day
                FROM THIS_SCHEMA.orders o
                WHERE o.site_id = c.site_id AND o.order_id = c.order_id
                OFFSET 0
            ) d;
            RETURN NULL;
        END
        $$
    $create$, 'THIS_SCHEMA', quote_ident(current_schema()));
END
$migration$;
COMMENT ON FUNCTION mark_days_of_orders IS 'Marks the days of the orders whose credits or entries a statement changed.';

CREATE TRIGGER entries_inserted AFTER INSERT ON order_entries
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_days_of_orders();
CREATE TRIGGER entries_updated AFTER UPDATE ON order_entries
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_days_of_orders();
CREATE TRIGGER entries_deleted AFTER DELETE ON order_entries
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_days_of_orders();
