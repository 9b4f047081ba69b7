-- One visit that began where no cookie could be set is told as one; and verdicts say by which rules they were reached.
--
-- A landing that caches share, or one before consent, has the session of its cookieless id (session_links says of which
-- visit it is the beginning). Both are rows of sessions, and reports must not count the visit twice: the first is left out
-- (continued), and what it adds to the second stands in a column of that one (landing). Both columns are computed by the
-- office from session_links, with the marks in unjudged_hours (src/store/judge.rs): a function of the facts, in whatever
-- order they arrive. Whoever is forgotten keeps them as they are at that moment.

-- ---------------------------------------------------------------- verdicts

ALTER TABLE sessions
    ADD COLUMN bot_rules      smallint NOT NULL DEFAULT 0,     -- max
    ADD COLUMN fetched_assets boolean  NOT NULL DEFAULT false; -- or
COMMENT ON COLUMN sessions.bot_rules IS 'Version of the rules by which its requests were judged; 0 = before versions were noted.';
COMMENT ON COLUMN sessions.fetched_assets IS 'A page view came when files of pages had been fetched from the same address lately.';
COMMENT ON COLUMN sessions.behaviour_reasons IS '1 faster than people, 2 never returns a cookie, 4 opens the links of a mail at once, 8 fetches pages and no files';

ALTER TABLE bot_hits ADD COLUMN rules smallint NOT NULL DEFAULT 0;  -- max
COMMENT ON COLUMN bot_hits.rules IS 'Version of the rules that found it; 0 = before versions were noted.';

-- ---------------------------------------------------------------- landings

CREATE TYPE session_landing AS (
    started_at      timestamptz,
    landing_page_id bigint,                      -- null when no page was seen
    touch_at        timestamptz,                 -- null, like the next two, when it brought no evidence
    campaign_id     bigint,
    referrer_id     bigint,
    lead_at         timestamptz,
    registration_at timestamptz,
    page_views      integer,
    actions         integer,
    points          integer,
    order_count     integer,
    bot_score       smallint                     -- the greater of both scores
);
COMMENT ON TYPE session_landing IS 'What the cookieless beginning of a visit adds to it.';

ALTER TABLE sessions
    ADD COLUMN continued boolean NOT NULL DEFAULT false,
    ADD COLUMN landing   session_landing;
COMMENT ON COLUMN sessions.continued IS 'It is the beginning of another session, which reports tell instead; computed.';
COMMENT ON COLUMN sessions.landing IS 'What its cookieless beginning adds to it; computed.';

CREATE FUNCTION join_landings(cookieless uuid[]) RETURNS void LANGUAGE sql AS $$
    WITH links AS MATERIALIZED (
        SELECT l.session_id, l.session_hour, l.visitor_id, c.session_id AS begun_by, c.visitor_id AS begun_as,
               ROW (c.started_at, CASE c.entry_rank WHEN 0 THEN c.landing_page_id END, t.touch_at, t.campaign_id, t.referrer_id, c.lead_at, c.registration_at,
                    c.page_views, c.actions, c.score + c.order_points, c.order_count,
                    greatest(c.bot_score, c.behaviour_score))::session_landing AS landing
        FROM session_links l
        JOIN sessions c ON c.session_id = l.cookieless_session_id AND c.session_hour = l.cookieless_hour
                       AND c.visitor_id = l.cookieless_id
        -- As attribution has it: evidence that came when the visitor was known already is not the landing's.
        LEFT JOIN LATERAL (SELECT c.touch_at, c.campaign_id, c.referrer_id WHERE c.touch_at <= l.minted_at) t ON true
        WHERE l.cookieless_id = ANY (cookieless)
    ), beginnings AS (
        UPDATE sessions s SET continued = w.continued
        FROM (
            SELECT c.session_id, c.session_hour, c.visitor_id,
                   EXISTS (SELECT FROM links l WHERE l.begun_by = c.session_id AND l.begun_as = c.visitor_id) AS continued
            FROM sessions c
            WHERE c.visitor_id = ANY (cookieless) AND c.identity = 2
        ) w
        WHERE s.session_id = w.session_id AND s.session_hour = w.session_hour AND s.visitor_id = w.visitor_id
          AND s.continued <> w.continued
    )
    UPDATE sessions s SET landing = w.landing
    FROM (
        SELECT x.session_id, x.session_hour, x.visitor_id, l.landing
        FROM visitors v
        JOIN sessions x ON x.visitor_id = v.visitor_id AND x.identity = 1
        LEFT JOIN links l ON l.session_id = x.session_id AND l.session_hour = x.session_hour AND l.visitor_id = x.visitor_id
        WHERE v.minted_from = ANY (cookieless) AND x.session_hour < day_of(v.first_seen) + interval '48 hours'
    ) w
    WHERE s.session_id = w.session_id AND s.session_hour = w.session_hour AND s.visitor_id = w.visitor_id
      AND s.landing IS DISTINCT FROM w.landing
$$;
COMMENT ON FUNCTION join_landings IS 'Computes continued and landing of all sessions that begin, or continue, what was seen under these cookieless ids.';

-- ---------------------------------------------------------------- reports

CREATE OR REPLACE VIEW session_facts AS
SELECT s.session_id,
       s.session_hour,
       s.visitor_id,
       s.site_id,
       s.started_at,
       s.last_seen,
       s.session_number,
       s.page_views + coalesce((s.landing).page_views, 0) AS page_views,
       least(s.lead_at, (s.landing).lead_at)  AS lead_at,
       least(s.registration_at, (s.landing).registration_at) AS registration_at,
       s.order_count + coalesce((s.landing).order_count, 0) AS order_count,
       s.score + s.order_points + coalesce((s.landing).points, 0) AS points,
       greatest(s.bot_score, s.behaviour_score, (s.landing).bot_score) >= 50 AS bot,
       s.page_views + coalesce((s.landing).page_views, 0) = 1 AND s.actions + coalesce((s.landing).actions, 0) = 0 AS bounced,
       s.order_count + coalesce((s.landing).order_count, 0) > 0 AS converted,
       CASE WHEN coalesce((s.landing).campaign_id, s.campaign_id) IS NULL THEN '(direct)'
            ELSE coalesce(c.source, '(none)') END AS source,
       coalesce(c.medium, '(none)')           AS medium,
       coalesce(c.campaign, '(none)')         AS campaign,
       coalesce(c.content, '(none)')          AS content,
       coalesce(c.term, '(none)')             AS term,
       coalesce(a.device_type, 'unknown')     AS device,
       coalesce(lower(p.country), '(none)')   AS country,
       coalesce((s.landing).campaign_id, s.campaign_id) AS campaign_id,
       CASE WHEN (s.landing).campaign_id IS NULL THEN s.referrer_id ELSE (s.landing).referrer_id END AS referrer_id,
       coalesce((s.landing).landing_page_id, s.landing_page_id) AS landing_page_id,
       s.agent_id,
       s.place_id,
       s.address,
       CASE WHEN coalesce((s.landing).campaign_id, s.campaign_id) IS NULL THEN 'Direct'
            ELSE coalesce(c.channel, 'Unassigned') END AS channel,
       s.excluded_by IS NOT NULL OR s.continued AS excluded,
       coalesce((s.landing).started_at, s.started_at) AS began_at,
       s.continued,
       s.identity,
       s.excluded_by
FROM sessions s
LEFT JOIN campaign_labels c ON c.campaign_id = coalesce((s.landing).campaign_id, s.campaign_id)
LEFT JOIN agents a ON a.agent_id = s.agent_id
LEFT JOIN places p ON p.place_id = s.place_id;
COMMENT ON VIEW session_facts IS 'Sessions as reports see them, each with its cookieless beginning; started_at, by which windows choose, is when the visitor was known. bot: a score of 50 or more, of one request or of behaviour. bounced: one page view and no action but product views. excluded: left out of all reports, by a rule or because another session continues it.';

CREATE OR REPLACE VIEW session_details AS
SELECT s.session_id,
       s.session_hour,
       s.visitor_id,
       n.name                                  AS site,
       s.identity,
       s.session_number,
       s.started_at                            AS first_seen,
       s.last_seen,
       s.page_views + coalesce((s.landing).page_views, 0) AS page_views,
       s.actions + coalesce((s.landing).actions, 0) AS actions,
       s.score + s.order_points + coalesce((s.landing).points, 0) AS score,
       s.bot_score,
       s.bot_reasons,
       CASE WHEN coalesce((s.landing).campaign_id, s.campaign_id) IS NULL THEN '(direct)' ELSE coalesce(l.source, '(none)') END AS source,
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
       coalesce((s.landing).touch_at, s.touch_at) AS touch_at,
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
       least(s.registration_at, (s.landing).registration_at) AS registration_at,
       s.order_count + coalesce((s.landing).order_count, 0) AS order_count,
       least(s.lead_at, (s.landing).lead_at)   AS lead_at,
       CASE WHEN s.order_count + coalesce((s.landing).order_count, 0) > 0 THEN coalesce(o.placed_at, s.purchase_at) END AS converted_at,
       CASE WHEN coalesce((s.landing).campaign_id, s.campaign_id) IS NULL THEN 'Direct' ELSE coalesce(l.channel, 'Unassigned') END AS channel,
       s.behaviour_score,
       s.behaviour_reasons,
       s.excluded_by IS NOT NULL               AS excluded,
       s.bot_rules,
       s.behaviour_rules,
       greatest(s.bot_score, s.behaviour_score, (s.landing).bot_score) >= 50 AS bot,
       coalesce((s.landing).started_at, s.started_at) AS began_at,
       n_in.session_id                         AS continued_in,
       n_by.cookieless_session_id              AS begun_in
FROM sessions s
LEFT JOIN sites n ON n.site_id = s.site_id
LEFT JOIN campaigns c ON c.campaign_id = coalesce((s.landing).campaign_id, s.campaign_id)
LEFT JOIN campaign_labels l ON l.campaign_id = coalesce((s.landing).campaign_id, s.campaign_id)
LEFT JOIN agents a ON a.agent_id = s.agent_id
LEFT JOIN places p ON p.place_id = s.place_id
LEFT JOIN referrers r
       ON r.referrer_id = CASE WHEN (s.landing).campaign_id IS NULL THEN s.referrer_id ELSE (s.landing).referrer_id END
LEFT JOIN pages g ON g.page_id = coalesce((s.landing).landing_page_id, s.landing_page_id)
LEFT JOIN LATERAL (
    SELECT x.click_ids
    FROM touches x
    WHERE x.session_id = s.session_id AND x.session_hour = s.session_hour AND x.visitor_id = s.visitor_id
      AND x.evidence = s.touch_evidence AND (s.landing).touch_at IS NULL
    UNION ALL
    SELECT x.click_ids
    FROM visitors v
    JOIN touches x ON x.visitor_id = v.minted_from AND x.session_hour = day_of(v.first_seen) AND x.at = (s.landing).touch_at
    WHERE v.visitor_id = s.visitor_id AND (s.landing).touch_at IS NOT NULL
    LIMIT 1
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
) o ON true
LEFT JOIN LATERAL (
    SELECT x.session_id
    FROM session_links x
    WHERE s.continued AND x.cookieless_id = s.visitor_id AND x.cookieless_session_id = s.session_id
    LIMIT 1
) n_in ON true
LEFT JOIN LATERAL (
    SELECT x.cookieless_session_id
    FROM session_links x
    WHERE (s.landing).started_at IS NOT NULL AND x.visitor_id = s.visitor_id AND x.session_id = s.session_id
    LIMIT 1
) n_by ON true;

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
                        ELSE round(date_part('epoch', f.last_seen - f.began_at) * 1000)::bigint END) AS milliseconds,
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

CREATE OR REPLACE FUNCTION mixed_sums(
    from_at timestamptz, to_at timestamptz, site_names text[], bots text,
    source_in text[], source_out text[], medium_in text[], medium_out text[],
    campaign_in text[], campaign_out text[], content_in text[], content_out text[],
    term_in text[], term_out text[], device_in text[], device_out text[],
    country_in text[], country_out text[], channel_in text[], channel_out text[],
    rolled_from timestamptz, rolled_to timestamptz
) RETURNS TABLE (
    campaign_id bigint, sessions integer, first_visits integer, bounces integer, conversions integer,
    lead_sessions integer, registrations integer, page_views bigint, milliseconds bigint, points bigint, visitors bytea
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT r.campaign_id, r.sessions, r.first_visits, r.bounces, r.conversions, r.lead_sessions, r.registrations,
           r.page_views, r.milliseconds, r.points, r.visitors
    FROM (
        SELECT x.*,
               CASE WHEN x.campaign_id IS NULL THEN '(direct)' ELSE coalesce(c.source, '(none)') END AS source,
               coalesce(c.medium, '(none)') AS medium, coalesce(c.campaign, '(none)') AS campaign,
               coalesce(c.content, '(none)') AS content, coalesce(c.term, '(none)') AS term,
               CASE WHEN x.campaign_id IS NULL THEN 'Direct' ELSE coalesce(c.channel, 'Unassigned') END AS channel
        FROM rolled_sums(rolled_from, rolled_to) x
        LEFT JOIN campaign_labels c ON c.campaign_id = x.campaign_id
    ) r
    WHERE (site_names IS NULL OR r.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY (site_names)))
      AND CASE bots WHEN 'include' THEN true WHEN 'only' THEN r.bot ELSE NOT r.bot END
      AND (source_in IS NULL OR r.source LIKE ANY (source_in))
      AND (source_out IS NULL OR r.source NOT LIKE ALL (source_out))
      AND (medium_in IS NULL OR r.medium LIKE ANY (medium_in))
      AND (medium_out IS NULL OR r.medium NOT LIKE ALL (medium_out))
      AND (campaign_in IS NULL OR r.campaign LIKE ANY (campaign_in))
      AND (campaign_out IS NULL OR r.campaign NOT LIKE ALL (campaign_out))
      AND (content_in IS NULL OR r.content LIKE ANY (content_in))
      AND (content_out IS NULL OR r.content NOT LIKE ALL (content_out))
      AND (term_in IS NULL OR r.term LIKE ANY (term_in))
      AND (term_out IS NULL OR r.term NOT LIKE ALL (term_out))
      AND (channel_in IS NULL OR lower(r.channel) LIKE ANY (channel_in))
      AND (channel_out IS NULL OR lower(r.channel) NOT LIKE ALL (channel_out))
    UNION ALL
    SELECT f.campaign_id, 1, (f.session_number = 1)::integer, f.bounced::integer, f.converted::integer,
           (f.lead_at IS NOT NULL)::integer, (f.registration_at IS NOT NULL)::integer, f.page_views,
           CASE WHEN f.bounced THEN 0 ELSE round(date_part('epoch', f.last_seen - f.began_at) * 1000)::bigint END,
           f.points, sketch_bytes(sketch_code(f.visitor_id))
    FROM (
        SELECT s.*
        FROM (SELECT DISTINCT d.session_hour
              FROM dirty_hours d
              WHERE d.session_hour >= rolled_from - interval '48 hours' AND d.session_hour < rolled_to) h
        -- An hour is found by the primary key. The window is looked at afterwards, lest the index of started_at is used.
        CROSS JOIN LATERAL (
            SELECT x.*
            FROM report_sessions(NULL, 'infinity', site_names, bots, source_in, source_out, medium_in, medium_out,
                                 campaign_in, campaign_out, content_in, content_out, term_in, term_out,
                                 device_in, device_out, country_in, country_out, channel_in, channel_out) x
            WHERE x.session_hour = h.session_hour
              AND x.session_id >= least_session_id(h.session_hour)
              AND x.session_id < least_session_id(h.session_hour + interval '1 hour')
            OFFSET 0
        ) s
        WHERE s.started_at >= rolled_from AND s.started_at < rolled_to
        UNION ALL
        SELECT s.*
        FROM report_sessions(from_at, least(to_at, rolled_from), site_names, bots, source_in, source_out, medium_in,
                             medium_out, campaign_in, campaign_out, content_in, content_out, term_in, term_out,
                             device_in, device_out, country_in, country_out, channel_in, channel_out) s
        UNION ALL
        SELECT s.*
        FROM report_sessions(greatest(rolled_from, rolled_to), to_at, site_names, bots, source_in, source_out, medium_in,
                             medium_out, campaign_in, campaign_out, content_in, content_out, term_in, term_out,
                             device_in, device_out, country_in, country_out, channel_in, channel_out) s
    ) f
$$;
