-- Forgetting a person: identities go, totals stay.
--
-- How
--   * Ids of visitors and sessions are replaced, everywhere and alike, by ids made with a random key of the erasure
--     (src/ship/forgotten.rs). To be renamed changes no total; so whatever of the person comes later, from another
--     proxy or from kept segments, is renamed with the same key and falls into its place.
--   * The key is deleted when journals keep nothing of the time any more (journal.keep after the erasure). From then on
--     nobody can tell which replacement was whose, and what comes later still is counted without visitor and session.
--   * What could identify is emptied or deleted: addresses, click ids, cookies, customer hashes, properties, records
--     set aside.
--   * identity 0 in visitors and sessions says that they are forgotten. It is the least, and min its rule of merging.

CREATE TABLE erasures (
    erasure_id uuid        PRIMARY KEY,          -- of the journal's record
    subject    text        NOT NULL,             -- what was asked for: visitor, order, customer; not who
    at         timestamptz NOT NULL,             -- when it was asked for
    applied_at timestamptz NOT NULL DEFAULT now(),
    outcome    text        NOT NULL,             -- forgotten, already_forgotten, nothing_found, too_many
    erased     jsonb       NOT NULL,             -- rows by table
    key        bytea                             -- of the replacements; null: deleted, or there are none
);
CREATE INDEX erasures_key ON erasures (applied_at) WHERE key IS NOT NULL;
COMMENT ON TABLE erasures IS 'Receipts of what was forgotten. Nothing in them leads to anybody, but for the key while there is one.';

CREATE TABLE forgotten (
    id_hash      bytea    PRIMARY KEY,           -- SHA-256 of the id's 16 bytes
    kind         smallint NOT NULL,              -- 1 visitor, 2 session, 3 keyed hash of a customer
    erasure_id   uuid     NOT NULL,
    forgotten_no bigint   GENERATED ALWAYS AS IDENTITY UNIQUE
);
CREATE INDEX forgotten_erasure ON forgotten (erasure_id);
COMMENT ON TABLE forgotten IS 'By what every shipper and proxy knows who is forgotten. Written under the settle lock, exclusively.';

ALTER TABLE orders ADD COLUMN forgotten_at timestamptz;
COMMENT ON COLUMN orders.forgotten_at IS 'When whoever placed it was forgotten; reports about it are stored without the person.';

CREATE OR REPLACE FUNCTION private_tables() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['quarantine', 'api_tokens', 'identity_keys', 'erasures', 'forgotten']
$$;
