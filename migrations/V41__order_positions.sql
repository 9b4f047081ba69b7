-- What was bought, order by order: what the list of products reads in place of orders, their entries and events.
--
-- That list looked up the best report of each order's positions, read its JSON, and of orders without positions looked for purchases
-- among the events of their sessions. Packed days (V31) have now what each order has of each product, with the names of products as the
-- positions have them, and the keys of those that purchases name of an order without positions.
--
-- The rule stays that of V31 and V32: whoever changes an entry leaves a mark of the day of its order, and whoever writes an event
-- changes its session, whose hour gets one. A purchase is of its session's time, from the hour of its id until it was last seen.
--
-- A binary of before packs days without these columns, and those that are packed already have none: null says so. To those who ask for
-- them such a day is told from the orders, and it is packed again.

ALTER TABLE order_columns
    ADD COLUMN buyers        bytea,              -- the first eight bytes of SHA-256 of the session id, as session_columns has them; 0: of none
    ADD COLUMN positions     bytea,              -- how many products each order has by its positions, their places in product_ids from 0,
                                                 -- pieces with their digits after the point, what they cost with its digits, -1: no price is
                                                 -- known; then the site of each of product_ids
    ADD COLUMN told          bytea,              -- how many products purchases name of each order without positions, and their keys
    ADD COLUMN product_ids   text[],             -- the shops' ids
    ADD COLUMN product_names text[];             -- what each is called; with several names it is there with each
ALTER TABLE order_columns
    ALTER buyers SET STORAGE EXTERNAL, ALTER positions SET STORAGE EXTERNAL, ALTER told SET STORAGE EXTERNAL;
COMMENT ON COLUMN order_columns.positions IS 'What was bought. Null: packed by a binary that knew nothing of it, so that the day is to be packed again.';
