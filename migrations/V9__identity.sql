-- Who came, where a cookie is not all: salts of the day that all proxies share, people of whom only counts are kept, visits
-- that began before their visitor had a cookie, and the first and last touch of a visitor.

-- ---------------------------------------------------------------- salts

CREATE TABLE cookieless_salts (
    day     date        PRIMARY KEY,             -- UTC
    salt    bytea       NOT NULL,                -- 16 random bytes
    made_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE cookieless_salts IS 'Salts of cookieless ids, made two days ahead, the first of each day stands; deleted when their day is over for a day. Afterwards nobody can tell whose an id was.';

CREATE OR REPLACE FUNCTION private_tables() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['quarantine', 'api_tokens', 'identity_keys', 'erasures', 'forgotten', 'cookieless_salts']
$$;

-- ---------------------------------------------------------------- who denies being known

CREATE TABLE denied_hits (
    quarter     timestamptz NOT NULL,            -- beginning of the quarter of an hour
    site_id     integer     NOT NULL,
    campaign_id bigint      NOT NULL,            -- of landings, by source and medium alone; -1: no evidence, and all else
    page_views  bigint      NOT NULL,            -- sum
    landings    bigint      NOT NULL,            -- sum: page views that were reached from outside of the shop
    orders      bigint      NOT NULL,            -- sum
    PRIMARY KEY (quarter, site_id, campaign_id)
);
COMMENT ON TABLE denied_hits IS 'Counts of people who deny being known. They are in no count of visitors or sessions.';

-- ---------------------------------------------------------------- findings

CREATE TABLE link_findings (
    day     date     NOT NULL,                   -- UTC
    site_id integer  NOT NULL,
    page_id bigint   NOT NULL,                   -- where the link led
    finding smallint NOT NULL,                   -- 1 = tags on a link within the shop
    hits    bigint   NOT NULL,                   -- sum
    PRIMARY KEY (day, site_id, page_id, finding)
);
COMMENT ON TABLE link_findings IS 'What is wrong with links, by the page to which they led.';

-- ---------------------------------------------------------------- first and last touch

-- Null in rows of before: nobody fills them in, touches are kept for as long as orders are credited to them.
ALTER TABLE visitors
    ADD COLUMN first_touch_at    timestamptz,    -- min of (at, evidence, campaign, referrer): the touch that the first_ group is of
    ADD COLUMN first_evidence    bigint,
    ADD COLUMN first_campaign_id bigint,
    ADD COLUMN first_referrer_id bigint,
    ADD COLUMN last_touch_at     timestamptz,    -- max of the same: the touch that the last_ group is of
    ADD COLUMN last_evidence     bigint,
    ADD COLUMN last_campaign_id  bigint,
    ADD COLUMN last_referrer_id  bigint;

-- ---------------------------------------------------------------- visits before the cookie

-- A landing on which no cookie could be set, or before consent, has the session of its cookieless id; the visitor who is
-- made later says from which cookieless id. They are linked when exactly one visitor was made from it while that session
-- went on or in the half hour after. Derived, so that it holds whichever fact arrives first; nothing is renamed.
CREATE VIEW session_links AS
SELECT c.visitor_id   AS cookieless_id,
       c.session_id   AS cookieless_session_id,
       c.session_hour AS cookieless_hour,
       v.visitor_id,
       f.session_id,
       f.session_hour,
       v.first_seen   AS minted_at
FROM visitors v
JOIN sessions c ON c.visitor_id = v.minted_from AND c.identity = 2 AND c.session_hour = day_of(v.first_seen)
               AND v.first_seen >= c.started_at AND v.first_seen <= c.last_seen + interval '30 minutes'
CROSS JOIN LATERAL (
    SELECT s.session_id, s.session_hour FROM sessions s
    WHERE s.visitor_id = v.visitor_id
    ORDER BY s.started_at, s.session_number, s.session_id LIMIT 1
) f
WHERE NOT EXISTS (
    SELECT FROM visitors o
    WHERE o.minted_from = v.minted_from AND o.visitor_id <> v.visitor_id
      AND o.first_seen >= c.started_at AND o.first_seen <= c.last_seen + interval '30 minutes'
);
COMMENT ON VIEW session_links IS 'Which cookieless session is the beginning of which session: exactly one visitor was minted from its id within 30 minutes. Its touches up to that moment are the visitor''s.';

-- Touches as attribution sees them: a visitor's own, and those of the cookieless session that is linked to the first one.
CREATE FUNCTION touches_of(who uuid) RETURNS TABLE (
    session_id uuid, session_hour timestamptz, visitor_id uuid, evidence bigint, at timestamptz, campaign_id bigint,
    referrer_id bigint
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT t.session_id, t.session_hour, t.visitor_id, t.evidence, t.at, t.campaign_id, t.referrer_id
    FROM touches t WHERE t.visitor_id = who
    UNION ALL
    SELECT t.session_id, t.session_hour, t.visitor_id, t.evidence, t.at, t.campaign_id, t.referrer_id
    FROM session_links l
    JOIN touches t ON t.visitor_id = l.cookieless_id AND t.session_id = l.cookieless_session_id
                  AND t.session_hour = l.cookieless_hour AND t.at <= l.minted_at
    WHERE l.visitor_id = who
$$;
COMMENT ON FUNCTION touches_of IS 'Touches of a visitor, through session_links.';
