-- Who is left out of reports though sessions are there: whose behaviour no person shows, and whom a rule excludes.
--
-- Both follow from the sessions of an hour and from rules that change, and are worked out by the office, hour by hour
-- (src/store/judge.rs): whoever changes a session leaves a mark in unjudged_hours, as in dirty_hours, and whoever deletes
-- marks judges the hours anew in the same transaction. So the order in which facts arrive does not show. A session that is
-- flagged or excluded by it is changed, and its hour is summed up anew.

CREATE TABLE exclusions (
    exclusion_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text        NOT NULL CHECK (kind IN ('ip', 'user_agent', 'visitor', 'cookie', 'path', 'host')),
    value        text        NOT NULL,
    origin       text        NOT NULL CHECK (origin IN ('config', 'api')),
    note         text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    hits         bigint      NOT NULL DEFAULT 0,  -- sum: requests that were not recorded for its sake
    last_hit_at  timestamptz,                     -- max
    UNIQUE (kind, value, origin)
);
COMMENT ON TABLE exclusions IS 'What is excluded. Those of the configuration are written here by the process started last; each process goes by its own configuration and by those of the API.';

CREATE TABLE unjudged_hours (
    session_hour timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE unjudged_hours IS 'Hours whose sessions changed since they were judged. Append-only, as dirty_hours.';

CREATE TABLE judging (
    single            boolean PRIMARY KEY DEFAULT true CHECK (single),
    behaviour_version integer NOT NULL,           -- max: of the program's rules
    exclusions        bigint  NOT NULL            -- fingerprint of the exclusions that all hours were marked for
);
INSERT INTO judging (behaviour_version, exclusions) VALUES (0, 0);

ALTER TABLE sessions
    ADD COLUMN behaviour_score   smallint NOT NULL DEFAULT 0,
    ADD COLUMN behaviour_reasons integer  NOT NULL DEFAULT 0,
    ADD COLUMN behaviour_rules   smallint NOT NULL DEFAULT 0,
    ADD COLUMN excluded_by       bigint;
CREATE INDEX sessions_excluded ON sessions (excluded_by) WHERE excluded_by IS NOT NULL;
COMMENT ON COLUMN sessions.behaviour_score IS 'How sure the office is that this was no person, 0–100; computed from the sessions of the hour.';
COMMENT ON COLUMN sessions.behaviour_reasons IS '1 faster than people, 2 never returns a cookie, 4 opens the links of a mail at once';
COMMENT ON COLUMN sessions.behaviour_rules IS 'Version of the rules that found it.';
COMMENT ON COLUMN sessions.excluded_by IS 'The rule that leaves it out of all reports; computed.';

DO $migration$
BEGIN
    EXECUTE replace($create$
        CREATE OR REPLACE FUNCTION mark_hours() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            INSERT INTO THIS_SCHEMA.dirty_hours SELECT DISTINCT c.session_hour FROM changed c;
            INSERT INTO THIS_SCHEMA.unjudged_hours SELECT DISTINCT c.session_hour FROM changed c;
            RETURN NULL;
        END
        $$
    $create$, 'THIS_SCHEMA', quote_ident(current_schema()));
END
$migration$;

-- Marks all hours that have sessions: the rules changed. Days are found by the primary key.
CREATE FUNCTION mark_all_unjudged() RETURNS void LANGUAGE sql AS $$
    WITH RECURSIVE days(day) AS (
        (SELECT day_of(s.session_hour) FROM sessions s ORDER BY s.session_id LIMIT 1)
        UNION ALL
        SELECT n.day
        FROM days d
        CROSS JOIN LATERAL (
            SELECT day_of(s.session_hour) AS day
            FROM sessions s
            WHERE s.session_id >= least_session_id(d.day + interval '24 hours')
            ORDER BY s.session_id
            LIMIT 1
        ) n
        WHERE n.day > d.day
    )
    INSERT INTO unjudged_hours
    SELECT d.day + h.hours * interval '1 hour'
    FROM days d
    CROSS JOIN generate_series(0, 23) AS h(hours)
$$;
COMMENT ON FUNCTION mark_all_unjudged IS 'Has all sessions judged anew.';

-- ---------------------------------------------------------------- reports

CREATE OR REPLACE VIEW session_facts AS
SELECT s.session_id,
       s.session_hour,
       s.visitor_id,
       s.site_id,
       s.started_at,
       s.last_seen,
       s.session_number,
       s.page_views,
       s.lead_at,
       s.registration_at,
       s.order_count,
       s.score + s.order_points               AS points,
       greatest(s.bot_score, s.behaviour_score) >= 50 AS bot,
       s.page_views = 1 AND s.actions = 0     AS bounced,
       s.order_count > 0                      AS converted,
       CASE WHEN s.campaign_id IS NULL THEN '(direct)' ELSE coalesce(c.source, '(none)') END AS source,
       coalesce(c.medium, '(none)')           AS medium,
       coalesce(c.campaign, '(none)')         AS campaign,
       coalesce(c.content, '(none)')          AS content,
       coalesce(c.term, '(none)')             AS term,
       coalesce(a.device_type, 'unknown')     AS device,
       coalesce(lower(p.country), '(none)')   AS country,
       s.campaign_id,
       s.referrer_id,
       s.landing_page_id,
       s.agent_id,
       s.place_id,
       s.address,
       CASE WHEN s.campaign_id IS NULL THEN 'Direct' ELSE coalesce(c.channel, 'Unassigned') END AS channel,
       s.excluded_by IS NOT NULL              AS excluded
FROM sessions s
LEFT JOIN campaign_labels c ON c.campaign_id = s.campaign_id
LEFT JOIN agents a ON a.agent_id = s.agent_id
LEFT JOIN places p ON p.place_id = s.place_id;
COMMENT ON VIEW session_facts IS 'Sessions as reports see them. bot: a score of 50 or more, of one request or of behaviour. bounced: one page view and no action but product views. excluded: left out of all reports.';

CREATE OR REPLACE VIEW session_details AS
SELECT s.session_id,
       s.session_hour,
       s.visitor_id,
       n.name                                  AS site,
       s.identity,
       s.session_number,
       s.started_at                            AS first_seen,
       s.last_seen,
       s.page_views,
       s.actions,
       s.score + s.order_points                AS score,
       s.bot_score,
       s.bot_reasons,
       CASE WHEN s.campaign_id IS NULL THEN '(direct)' ELSE coalesce(l.source, '(none)') END AS source,
       coalesce(l.medium, '(none)')            AS medium,
       coalesce(l.campaign, '(none)')          AS campaign,
       coalesce(l.content, '(none)')           AS content,
       coalesce(l.term, '(none)')              AS term,
       c.source                                AS utm_source,
       c.medium                                AS utm_medium,
       c.campaign                              AS utm_campaign,
       c.content                               AS utm_content,
       c.term                                  AS utm_term,
       c.utm_id,
       c.parameters,
       c.inferred,
       s.touch_at,
       t.click_ids,
       k.cookies,
       host(s.address)                         AS ip_address,
       p.country,
       p.country_name,
       p.region,
       p.city,
       p.timezone,
       coalesce(a.device_type, 'unknown')      AS device_type,
       a.device_brand,
       a.device_model,
       a.os_name,
       a.os_version,
       a.browser_name,
       a.browser_version,
       a.user_agent,
       r.url                                   AS referrer,
       g.host                                  AS landing_host,
       g.path                                  AS landing_page,
       s.registration_at,
       s.order_count,
       s.lead_at,
       CASE WHEN s.order_count > 0 THEN coalesce(o.placed_at, s.purchase_at) END AS converted_at,
       CASE WHEN s.campaign_id IS NULL THEN 'Direct' ELSE coalesce(l.channel, 'Unassigned') END AS channel,
       s.behaviour_score,
       s.behaviour_reasons,
       s.excluded_by IS NOT NULL               AS excluded
FROM sessions s
LEFT JOIN sites n ON n.site_id = s.site_id
LEFT JOIN campaigns c ON c.campaign_id = s.campaign_id
LEFT JOIN campaign_labels l ON l.campaign_id = s.campaign_id
LEFT JOIN agents a ON a.agent_id = s.agent_id
LEFT JOIN places p ON p.place_id = s.place_id
LEFT JOIN referrers r ON r.referrer_id = s.referrer_id
LEFT JOIN pages g ON g.page_id = s.landing_page_id
LEFT JOIN LATERAL (
    SELECT x.click_ids
    FROM touches x
    WHERE x.session_id = s.session_id AND x.session_hour = s.session_hour AND x.visitor_id = s.visitor_id
      AND x.evidence = s.touch_evidence
) t ON true
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(x.name, x.value) AS cookies
    FROM session_cookies x
    WHERE x.session_id = s.session_id AND x.session_hour = s.session_hour AND x.visitor_id = s.visitor_id
) k ON true
LEFT JOIN LATERAL (
    SELECT min(x.placed_at) AS placed_at
    FROM orders x
    WHERE x.session_id = s.session_id AND s.order_count > 0
) o ON true;

CREATE OR REPLACE FUNCTION report_sessions(
    from_at timestamptz, to_at timestamptz, site_names text[], bots text,
    source_in text[], source_out text[], medium_in text[], medium_out text[],
    campaign_in text[], campaign_out text[], content_in text[], content_out text[],
    term_in text[], term_out text[], device_in text[], device_out text[],
    country_in text[], country_out text[], channel_in text[], channel_out text[]
) RETURNS SETOF session_facts LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT s.*
    FROM session_facts s
    -- The hour is the partition key. A session starts in its hour (cookieless: its day); two days leave room for one
    -- whose first hits were lost.
    WHERE (from_at IS NULL OR (s.started_at >= from_at AND s.session_hour >= from_at - interval '2 days'))
      AND s.started_at < to_at AND s.session_hour < to_at AND NOT s.excluded
      AND (site_names IS NULL OR s.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY (site_names)))
      AND CASE bots WHEN 'include' THEN true WHEN 'only' THEN s.bot ELSE NOT s.bot END
      AND (source_in IS NULL OR s.source LIKE ANY (source_in))
      AND (source_out IS NULL OR s.source NOT LIKE ALL (source_out))
      AND (medium_in IS NULL OR s.medium LIKE ANY (medium_in))
      AND (medium_out IS NULL OR s.medium NOT LIKE ALL (medium_out))
      AND (campaign_in IS NULL OR s.campaign LIKE ANY (campaign_in))
      AND (campaign_out IS NULL OR s.campaign NOT LIKE ALL (campaign_out))
      AND (content_in IS NULL OR s.content LIKE ANY (content_in))
      AND (content_out IS NULL OR s.content NOT LIKE ALL (content_out))
      AND (term_in IS NULL OR s.term LIKE ANY (term_in))
      AND (term_out IS NULL OR s.term NOT LIKE ALL (term_out))
      AND (device_in IS NULL OR s.device LIKE ANY (device_in))
      AND (device_out IS NULL OR s.device NOT LIKE ALL (device_out))
      AND (country_in IS NULL OR s.country LIKE ANY (country_in))
      AND (country_out IS NULL OR s.country NOT LIKE ALL (country_out))
      AND (channel_in IS NULL OR lower(s.channel) LIKE ANY (channel_in))
      AND (channel_out IS NULL OR lower(s.channel) NOT LIKE ALL (channel_out))
$$;

CREATE OR REPLACE FUNCTION session_sums(spans timestamptz[], span interval, step interval) RETURNS TABLE (
    session_span timestamptz, started_step timestamptz, campaign_id bigint, site_id integer, bot boolean,
    sessions integer, first_visits integer, bounces integer, conversions integer, lead_sessions integer,
    registrations integer, page_views bigint, milliseconds bigint, points bigint, visitors bytea
) LANGUAGE sql STABLE AS $$
    SELECT r.session_span, r.started_step, r.campaign_id, r.site_id, r.bot,
           sum(r.sessions)::integer, sum(r.first_visits)::integer, sum(r.bounces)::integer,
           sum(r.conversions)::integer, sum(r.lead_sessions)::integer, sum(r.registrations)::integer,
           sum(r.page_views)::bigint, sum(r.milliseconds)::bigint, sum(r.points)::bigint,
           string_agg(sketch_bytes(r.code), '' ORDER BY r.code)
    FROM (
        SELECT p.session_span, date_bin(step, f.started_at, '1000-01-01 00:00:00+00') AS started_step,
               f.campaign_id, f.site_id, f.bot, max(f.code) AS code,
               count(*) AS sessions,
               count(*) FILTER (WHERE f.session_number = 1) AS first_visits,
               count(*) FILTER (WHERE f.bounced) AS bounces,
               count(*) FILTER (WHERE f.converted) AS conversions,
               count(*) FILTER (WHERE f.lead_at IS NOT NULL) AS lead_sessions,
               count(*) FILTER (WHERE f.registration_at IS NOT NULL) AS registrations,
               sum(f.page_views) AS page_views,
               sum(CASE WHEN f.bounced THEN 0
                        ELSE round(date_part('epoch', f.last_seen - f.started_at) * 1000)::bigint END) AS milliseconds,
               sum(f.points) AS points
        FROM unnest(spans) AS p(session_span)
        CROSS JOIN LATERAL (
            SELECT s.*, sketch_code(s.visitor_id) AS code
            FROM session_facts s
            WHERE NOT s.excluded AND s.session_hour >= p.session_span AND s.session_hour < p.session_span + span
              AND s.session_id >= least_session_id(p.session_span)
              AND s.session_id < least_session_id(p.session_span + span)
            OFFSET 0
        ) f
        GROUP BY 1, 2, 3, 4, 5, f.code >> 8
    ) r
    GROUP BY 1, 2, 3, 4, 5
$$;

-- ---------------------------------------------------------------- what only single sessions have

-- A lateral of one row, so that no session is lost.
CREATE FUNCTION session_groups(
    dimension text, agent_id bigint, place_id bigint, referrer_id bigint, landing_page_id bigint
) RETURNS TABLE (key_1 text, key_2 text, key_3 text) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(CASE dimension
                        WHEN 'device' THEN coalesce(a.device_type, 'unknown')
                        WHEN 'browser' THEN a.browser_name
                        WHEN 'os' THEN a.os_name
                        WHEN 'country' THEN p.country
                        WHEN 'region' THEN p.region
                        WHEN 'city' THEN p.city
                        WHEN 'referrer' THEN r.host
                        WHEN 'landing' THEN g.path END, '(none)'),
           coalesce(CASE dimension
                        WHEN 'device' THEN a.device_brand
                        WHEN 'browser' THEN split_part(a.browser_version, '.', 1)
                        WHEN 'os' THEN a.os_version
                        WHEN 'country' THEN p.country_name
                        WHEN 'region' THEN p.country
                        WHEN 'city' THEN p.region
                        WHEN 'landing' THEN g.host
                        ELSE '' END, '(none)'),
           coalesce(CASE dimension
                        WHEN 'device' THEN a.device_model
                        WHEN 'city' THEN p.country
                        ELSE '' END, '(none)')
    FROM (SELECT 1) one
    LEFT JOIN agents a ON a.agent_id = session_groups.agent_id AND dimension IN ('device', 'browser', 'os')
    LEFT JOIN places p ON p.place_id = session_groups.place_id AND dimension IN ('country', 'region', 'city')
    LEFT JOIN referrers r ON r.referrer_id = session_groups.referrer_id AND dimension = 'referrer'
    LEFT JOIN pages g ON g.page_id = session_groups.landing_page_id AND dimension = 'landing'
$$;
COMMENT ON FUNCTION session_groups IS 'Which group of a list a session belongs to; see breakdown_sessions.sql.';
