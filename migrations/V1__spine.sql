-- The store: narrow facts over dictionaries, written by any number of proxies in any order.
--
-- Why it looks like this
--   * The same hits must give the same rows whatever the order in which they arrive. Every merged column therefore
--     says its rule: "min", "max", "sum", "union" (bitwise or), or "first" (the value that belongs to the least
--     (time, hash) pair, kept beside it). Nothing is counted by looking at the rows that are there already.
--   * Dictionary ids are a hash of the content: no lookup, no sequence, the same on every proxy.
--   * Facts that grow are partitioned by month and have no foreign keys. visitor_id is part of every unique key of
--     theirs. A fact may name a dictionary row that does not exist; reports left-join.
--   * events have no key at all: journal_checkpoint, moved in the transaction of each batch, makes them exactly-once.
--   * Orders are rare and precious: a ledger of what was reported (order_entries), never changed by merging, from
--     which orders and order_credits are computed anew whenever a fact that matters to them arrives.

-- ---------------------------------------------------------------- journals

CREATE TABLE journal_checkpoint (
    journal   uuid        PRIMARY KEY,          -- one proxy run
    segment   bigint      NOT NULL,             -- position of the first record that is not in the database:
    "offset"  bigint      NOT NULL,             --   segment number, byte offset
    hits      bigint      NOT NULL DEFAULT 0,   -- records committed so far
    at        timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE journal_checkpoint IS 'How far each journal has been shipped. Moved first in every batch, by compare-and-set. Rows are never pruned.';

CREATE TABLE quarantine (
    quarantine_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    journal       uuid        NOT NULL,
    segment       bigint      NOT NULL,
    "offset"      bigint      NOT NULL,
    payload       bytea       NOT NULL,          -- the frame's payload as it stands in the journal
    error         text        NOT NULL,
    at            timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE quarantine IS 'Records that Postgres or this version refused, with the reason; set aside so that the rest goes on.';

CREATE TABLE identity_keys (
    fingerprint bytea       PRIMARY KEY,         -- first 8 bytes of SHA-256 of the signing key
    first_seen  timestamptz NOT NULL DEFAULT now(),
    last_seen   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE identity_keys IS 'Fingerprints of the keys that proxies sign with; two at the same time are a fault.';

-- ---------------------------------------------------------------- dictionaries

CREATE TABLE sites (
    site_id integer PRIMARY KEY,                 -- first 4 bytes of the hash of the name
    name    text    NOT NULL UNIQUE
);

CREATE TABLE action_kinds (
    kind_id integer PRIMARY KEY,                 -- first 4 bytes of the hash of the name
    name    text    NOT NULL UNIQUE
);

CREATE TABLE campaigns (
    campaign_id bigint      PRIMARY KEY,
    site_id     integer     NOT NULL,
    source      text,                            -- as seen, or inferred
    medium      text,
    campaign    text,
    content     text,
    term        text,
    utm_id      text,
    parameters  jsonb,                           -- further registered parameters
    inferred    text,                            -- name of the click id, or 'referrer', when source and medium are inferred
    seen_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE campaigns IS 'Acquisition as it was tagged: values as seen, aliases apply when reading.';

CREATE TABLE pages (
    page_id bigint      PRIMARY KEY,
    site_id integer     NOT NULL,
    host    text        NOT NULL,
    path    text        NOT NULL,
    locale  text,                                -- language prefix of the path
    seen_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE referrers (
    referrer_id bigint      PRIMARY KEY,
    site_id     integer     NOT NULL,
    host        text        NOT NULL,
    url         text        NOT NULL,            -- without query
    seen_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE products (
    product_key bigint      PRIMARY KEY,
    site_id     integer     NOT NULL,
    product_id  text        NOT NULL,            -- the shop's
    name        text,                            -- last: max of (named_on, name), compared bytewise
    named_on    date,                            -- the UTC day of the name
    seen_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE agents (
    agent_id        bigint      PRIMARY KEY,
    user_agent      text        NOT NULL,
    device_type     text        NOT NULL,        -- desktop, mobile, tablet, tv, unknown
    device_brand    text,
    device_model    text,
    os_name         text,
    os_version      text,
    browser_name    text,
    browser_version text,
    seen_at         timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE places (
    place_id     bigint      PRIMARY KEY,
    country      text,                           -- ISO 3166-1 alpha-2
    country_name text,
    region       text,
    city         text,
    timezone     text,
    seen_at      timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX campaigns_seen ON campaigns USING brin (seen_at);

CREATE TABLE dictionary_growth (
    day     date    NOT NULL,
    kind    text    NOT NULL,
    site_id integer NOT NULL,
    added   bigint  NOT NULL,                    -- sum
    refused bigint  NOT NULL DEFAULT 0,          -- sum; hits that point at the overflow row instead
    PRIMARY KEY (day, kind, site_id)
);
COMMENT ON TABLE dictionary_growth IS 'New dictionary rows a day (site 0 for agents and places, which belong to no site): beyond database.new_values_per_day hits point at id 0.';

-- What hits point at beyond the cap.
INSERT INTO campaigns (campaign_id, site_id, source) VALUES (0, 0, '(overflow)');
INSERT INTO pages (page_id, site_id, host, path) VALUES (0, 0, '(overflow)', '(overflow)');
INSERT INTO referrers (referrer_id, site_id, host, url) VALUES (0, 0, '(overflow)', '(overflow)');
INSERT INTO products (product_key, site_id, product_id) VALUES (0, 0, '(overflow)');
INSERT INTO agents (agent_id, user_agent, device_type) VALUES (0, '(overflow)', 'unknown');
INSERT INTO places (place_id) VALUES (0);

-- ---------------------------------------------------------------- facts

CREATE TABLE visitors (
    visitor_id    uuid        PRIMARY KEY,
    site_id       integer     NOT NULL,          -- min
    identity      smallint    NOT NULL,          -- min: 1 cookie, 2 cookieless
    first_seen    timestamptz NOT NULL,          -- min
    last_seen     timestamptz NOT NULL,          -- max
    minted_from   uuid,                          -- max: cookieless id at the moment the id was minted
    registered_at timestamptz                    -- min
);
CREATE INDEX visitors_last_seen ON visitors USING brin (last_seen);
CREATE INDEX visitors_minted_from ON visitors (minted_from) WHERE minted_from IS NOT NULL;

CREATE TABLE sessions (
    session_id           uuid        NOT NULL,   -- its first 48 bits are session_hour
    visitor_id           uuid        NOT NULL,
    session_hour         timestamptz NOT NULL,   -- read from session_id
    started_at           timestamptz NOT NULL,   -- max(session_hour, min time of its hits)
    last_seen            timestamptz NOT NULL,   -- max
    entry_at             timestamptz NOT NULL,   -- min of (entry_rank, entry_at, entry_hash): the hit that the entry_ group is of
    entry_hash           bigint      NOT NULL,
    landing_page_id      bigint      NOT NULL,   -- first (entry)
    agent_id             bigint      NOT NULL,   -- first (entry)
    place_id             bigint,                 -- first (entry)
    touch_at             timestamptz,            -- min of (touch_at, touch_evidence, campaign_id, referrer_id): the touch that the touch_ group is of
    touch_evidence       bigint,
    campaign_id          bigint,                 -- first (touch)
    referrer_id          bigint,                 -- first (touch)
    product_view_at      timestamptz,            -- min, like the next five
    add_to_cart_at       timestamptz,
    initiate_checkout_at timestamptz,
    lead_at              timestamptz,
    purchase_at          timestamptz,
    registration_at      timestamptz,
    site_id              integer     NOT NULL,   -- first (entry)
    session_number       integer     NOT NULL,   -- min
    page_views           integer     NOT NULL,   -- sum
    actions              integer     NOT NULL,   -- sum: all but page views and product views
    score                integer     NOT NULL,   -- sum of points, without those of orders
    bot_reasons          integer     NOT NULL,   -- union
    order_count          integer     NOT NULL DEFAULT 0,  -- computed with orders
    order_points         integer     NOT NULL DEFAULT 0,  -- computed with orders
    identity             smallint    NOT NULL,   -- min
    entry_rank           smallint    NOT NULL,   -- 0 page view, 1 other hit
    bot_score            smallint    NOT NULL,   -- max
    address              inet,                   -- first (entry)
    PRIMARY KEY (session_id, session_hour, visitor_id)
) PARTITION BY RANGE (session_hour);
CREATE INDEX sessions_started ON sessions (started_at, session_id);
CREATE INDEX sessions_visitor ON sessions (visitor_id, started_at);
COMMENT ON TABLE sessions IS 'One visit. Carries what reports ask most, so that they need not read events.';

CREATE TABLE session_cookies (
    session_id   uuid        NOT NULL,
    visitor_id   uuid        NOT NULL,
    session_hour timestamptz NOT NULL,
    at           timestamptz NOT NULL,           -- max of (at, value): pixels set their cookies after the first page
    name         text        NOT NULL,
    value        text        NOT NULL,           -- last
    PRIMARY KEY (session_id, session_hour, visitor_id, name)
) PARTITION BY RANGE (session_hour);
COMMENT ON TABLE session_cookies IS 'Marketing cookies (_fbp, _fbc, …) as last seen in a session.';

CREATE TABLE touches (
    session_id   uuid        NOT NULL,
    visitor_id   uuid        NOT NULL,
    session_hour timestamptz NOT NULL,
    evidence     bigint      NOT NULL,           -- hash over both evidence parts, or over the referrer host
    at           timestamptz NOT NULL,           -- min of (at, hash): the hit that all columns below are of
    hash         bigint      NOT NULL,
    campaign_id  bigint      NOT NULL,
    referrer_id  bigint,
    page_id      bigint      NOT NULL,
    site_id      integer     NOT NULL,
    flags        integer     NOT NULL,           -- 1 repeated, 2 truncated, 4 invalid UTF-8, 8 click id cut
    status       smallint    NOT NULL,           -- of the response
    click_ids    jsonb,                          -- {"fbclid": "…"}, values verbatim
    PRIMARY KEY (session_id, session_hour, visitor_id, evidence)
) PARTITION BY RANGE (session_hour);
CREATE INDEX touches_visitor ON touches (visitor_id, at);
COMMENT ON TABLE touches IS 'Acquisition evidence, each piece once per session.';

CREATE TABLE events (
    session_id  uuid,                            -- null for an action joined to nobody
    visitor_id  uuid,
    at          timestamptz NOT NULL,
    page_id     bigint,
    product_key bigint,
    site_id     integer     NOT NULL,
    kind_id     integer     NOT NULL,
    points      smallint    NOT NULL,
    status      smallint,
    value       numeric,
    currency    text,
    order_id    text,
    properties  jsonb
) PARTITION BY RANGE (at);
CREATE INDEX events_session ON events (session_id);
CREATE INDEX events_at ON events USING brin (at);
COMMENT ON TABLE events IS 'Page views and actions. No key: the journal checkpoint makes each exactly one row.';

CREATE TABLE product_views (
    session_id   uuid        NOT NULL,
    visitor_id   uuid        NOT NULL,
    session_hour timestamptz NOT NULL,
    product_key  bigint      NOT NULL,
    at           timestamptz NOT NULL,           -- min of (at, hash): the hit that the row in events is of
    hash         bigint      NOT NULL,
    slot         integer     NOT NULL,           -- half hours since session_hour
    site_id      integer     NOT NULL,
    PRIMARY KEY (session_id, session_hour, visitor_id, product_key, slot)
) PARTITION BY RANGE (session_hour);
COMMENT ON TABLE product_views IS 'A product view counts once per session, product and half hour.';

CREATE TABLE bot_hits (
    hour    timestamptz NOT NULL,
    site_id integer     NOT NULL,
    reasons integer     NOT NULL,
    hits    bigint      NOT NULL,                -- sum
    bot     text        NOT NULL,
    PRIMARY KEY (hour, site_id, bot, reasons)
);
COMMENT ON TABLE bot_hits IS 'Requests of certain bots by hour.';

-- ---------------------------------------------------------------- orders

CREATE TABLE order_entries (
    site_id      integer     NOT NULL,
    order_id     text        NOT NULL,           -- the shop's
    kind         smallint    NOT NULL,           -- 1 placed, 2 paid, 3 cancelled, 4 refunded, 5 delivered
    reference    text        NOT NULL,           -- the reporter's id of the entry, '' = none
    way          smallint    NOT NULL,           -- 1 rule, 2 header, 3 import, 4 API: the greater is the better evidence
    at           timestamptz NOT NULL,           -- when it happened
    received_at  timestamptz NOT NULL,
    value        numeric,                        -- null = all that is left, or unknown
    currency     text,
    order_number text,
    visitor_id   uuid,                           -- whom this report names: cookie on the request, or the API's field
    session_id   uuid,
    hash         bigint      NOT NULL,           -- of the record
    by_cookie    boolean     NOT NULL,           -- visitor and session are those of the request's cookie
    click_ids    jsonb,
    phone        bytea,                          -- keyed hashes
    email        bytea,
    user_id      bytea,
    items        jsonb,
    properties   jsonb,
    PRIMARY KEY (site_id, order_id, kind, reference, way)
);
COMMENT ON TABLE order_entries IS 'What was reported about orders, each report once: the first of its key, which is the one of the least (received_at, hash) whichever arrives here first. A later one of the API with another value is refused.';
CREATE INDEX order_entries_session ON order_entries (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX order_entries_visitor ON order_entries (visitor_id) WHERE visitor_id IS NOT NULL;

CREATE TABLE orders (
    site_id      integer     NOT NULL,
    order_id     text        NOT NULL,
    order_number text,
    placed_at    timestamptz NOT NULL,
    placed_way   smallint    NOT NULL,
    paid_at      timestamptz,                    -- first payment
    delivered_at timestamptz,
    currency     text,
    gross        numeric,                        -- placed
    paid         numeric     NOT NULL,           -- sum of payments
    cancelled    numeric     NOT NULL,
    refunded     numeric     NOT NULL,
    net          numeric,                        -- placed − cancelled − refunded
    visitor_id   uuid,                           -- null: joined to nobody, "(not tracked)"
    session_id   uuid,                           -- the session it is a conversion of
    joined_by    text,                           -- which rule joined it: cookie, session, visitor
    points       integer     NOT NULL,
    computed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, order_id)
);
CREATE INDEX orders_placed ON orders (placed_at);
CREATE INDEX orders_visitor ON orders (visitor_id) WHERE visitor_id IS NOT NULL;
CREATE INDEX orders_session ON orders (session_id) WHERE session_id IS NOT NULL;
COMMENT ON TABLE orders IS 'Each order as its entries, and the sessions known, make it. Computed, never merged.';

CREATE TABLE order_credits (
    site_id     integer     NOT NULL,
    order_id    text        NOT NULL,
    model       text        NOT NULL,            -- attribution model, 'last_non_direct'
    position    smallint    NOT NULL,            -- 1 = earliest credited touch
    session_id  uuid,                            -- null: direct
    evidence    bigint,
    touch_at    timestamptz,
    campaign_id bigint,                          -- null: direct
    referrer_id bigint,
    credit      integer     NOT NULL,            -- millionths; the credits of an order and model sum to 1,000,000
    PRIMARY KEY (site_id, order_id, model, position)
);
COMMENT ON TABLE order_credits IS 'Which touch earned an order, by attribution model. An order without rows is "(not tracked)".';

-- ---------------------------------------------------------------- access

CREATE TABLE api_tokens (
    name       text        PRIMARY KEY,
    scope      text        NOT NULL CHECK (scope IN ('read', 'ingest', 'admin')),
    sha256     bytea       NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used  timestamptz,
    revoked_at timestamptz
);
COMMENT ON TABLE api_tokens IS 'Access to the stats port. The token itself is shown once and never stored.';
