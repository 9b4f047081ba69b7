-- Orders that action rules see: a page that anybody may open is weak evidence, and payments name what the payment provider
-- calls the order, which only the request that made the order tells.
--
-- Nothing here depends on what comes first: references and payments are sets, and a payment becomes an entry of the ledger
-- by whichever of the two comes last.

ALTER TABLE order_entries ADD COLUMN weak boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN order_entries.weak IS 'Seen on a page that names the order only: its visitor has placed it if they used the cart or the checkout before, or if something else tells of the order.';

CREATE TABLE order_references (
    site_id   integer NOT NULL,
    reference text    NOT NULL,                  -- what the payment provider calls the order
    order_id  text    NOT NULL,                  -- the shop's
    PRIMARY KEY (site_id, reference, order_id)
);
COMMENT ON TABLE order_references IS 'By what payment providers know orders.';

CREATE TABLE payments (
    site_id     integer     NOT NULL,
    reference   text        NOT NULL,
    way         smallint    NOT NULL,            -- as of order_entries
    at          timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    hash        bigint      NOT NULL,            -- of the record
    value       numeric,
    currency    text,
    PRIMARY KEY (site_id, reference, way)
);
COMMENT ON TABLE payments IS 'Payments that name no order: of each key the one of the least (received_at, hash). They are entries of order_entries as soon as their reference is known.';
