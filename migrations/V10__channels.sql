-- Channels, and sources under one name: what reports group by besides what was tagged.
--
-- Both follow from what was tagged (or inferred) by rules that change: the program's tables and the aliases below. What was
-- tagged never changes. The labels of a campaign are computed by the shipper when the row is made, and all of them anew
-- when the rules change, in one transaction (src/ship/labels.rs): reports pay for nothing but a column, and rollups, which
-- know campaigns by their id, need not be summed up again.

CREATE TABLE source_aliases (
    alias      text        NOT NULL,             -- lower case
    source     text        NOT NULL,             -- lower case: what it is reported as
    origin     text        NOT NULL CHECK (origin IN ('config', 'api')),
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (alias, origin)
);
COMMENT ON TABLE source_aliases IS 'Sources under other names, beside those that the program knows: those of the API before those of the configuration, which the process started last has written.';

CREATE TABLE label_rules (
    single  boolean PRIMARY KEY DEFAULT true CHECK (single),
    version integer NOT NULL                     -- max: of the program's tables
);
INSERT INTO label_rules (version) VALUES (0);
COMMENT ON TABLE label_rules IS 'Version of the tables that labels are computed by: a program with older ones leaves them alone.';

ALTER TABLE campaigns
    ADD COLUMN label_source text,
    ADD COLUMN channel      text,
    ADD COLUMN labelled_by  bigint;
COMMENT ON COLUMN campaigns.label_source IS 'The source under its one name; null: as tagged, in lower case.';
COMMENT ON COLUMN campaigns.channel IS 'GA4''s default channel group, and AI Assistants.';
COMMENT ON COLUMN campaigns.labelled_by IS 'Fingerprint of the rules and aliases that the two were computed by.';
CREATE INDEX campaigns_labelled_by ON campaigns (labelled_by);

CREATE OR REPLACE VIEW campaign_labels AS
SELECT c.campaign_id,
       coalesce(c.label_source, lower(c.source), '(none)') AS source,
       coalesce(lower(c.medium), '(none)')   AS medium,
       coalesce(lower(c.campaign), '(none)') AS campaign,
       coalesce(lower(c.content), '(none)')  AS content,
       coalesce(lower(c.term), '(none)')     AS term,
       coalesce(c.channel, 'Unassigned')     AS channel
FROM campaigns c;

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
       s.bot_score >= 50                      AS bot,
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
       CASE WHEN s.campaign_id IS NULL THEN 'Direct' ELSE coalesce(c.channel, 'Unassigned') END AS channel
FROM sessions s
LEFT JOIN campaign_labels c ON c.campaign_id = s.campaign_id
LEFT JOIN agents a ON a.agent_id = s.agent_id
LEFT JOIN places p ON p.place_id = s.place_id;

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
       CASE WHEN s.campaign_id IS NULL THEN 'Direct' ELSE coalesce(l.channel, 'Unassigned') END AS channel
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

-- The functions of reports once more, with a filter by channel.

DROP FUNCTION report_sums(timestamptz, timestamptz, text[], text, text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[]);
DROP FUNCTION mixed_sums(timestamptz, timestamptz, text[], text, text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], timestamptz, timestamptz);
DROP FUNCTION report_orders(timestamptz, timestamptz, text[], text, text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text, text, text, integer, text);
DROP FUNCTION report_credits(timestamptz, timestamptz, text[], text, text[], text[], text[], text[], text, text, text, integer, text);
DROP FUNCTION report_groups(text, text, text, text, text);
DROP FUNCTION report_sessions(timestamptz, timestamptz, text[], text, text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[]);

CREATE FUNCTION report_sessions(
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
      AND s.started_at < to_at AND s.session_hour < to_at
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
COMMENT ON FUNCTION report_sessions IS 'Sessions that began in [from_at, to_at) and pass the filters; from_at null = since ever. bots: exclude, include, only.';

CREATE FUNCTION mixed_sums(
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
           CASE WHEN f.bounced THEN 0 ELSE round(date_part('epoch', f.last_seen - f.started_at) * 1000)::bigint END,
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
COMMENT ON FUNCTION mixed_sums IS 'report_sums() with the part of the window that rollups answer.';

CREATE FUNCTION report_sums(
    from_at timestamptz, to_at timestamptz, site_names text[], bots text,
    source_in text[], source_out text[], medium_in text[], medium_out text[],
    campaign_in text[], campaign_out text[], content_in text[], content_out text[],
    term_in text[], term_out text[], device_in text[], device_out text[],
    country_in text[], country_out text[], channel_in text[], channel_out text[]
) RETURNS TABLE (
    campaign_id bigint, sessions integer, first_visits integer, bounces integer, conversions integer,
    lead_sessions integer, registrations integer, page_views bigint, milliseconds bigint, points bigint, visitors bytea
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT m.*
    FROM mixed_sums(from_at, to_at, site_names, bots, source_in, source_out, medium_in, medium_out,
                    campaign_in, campaign_out, content_in, content_out, term_in, term_out,
                    device_in, device_out, country_in, country_out, channel_in, channel_out,
                    -- Whole quarter hours; no rollup knows devices and countries: then none of the window.
                    CASE WHEN device_in IS NULL AND device_out IS NULL AND country_in IS NULL AND country_out IS NULL
                         THEN coalesce(quarter_from(from_at), '-infinity')
                         ELSE to_at END,
                    quarter_of(to_at)) m
$$;
COMMENT ON FUNCTION report_sums IS 'Sums over the sessions that report_sessions() gives, in rows to be added up: from rollups where they are, else of one session each. visitors: a sketch.';

CREATE FUNCTION report_groups(
    dimension text, source text, medium text, campaign text, content text, channel text
) RETURNS TABLE (key_1 text, key_2 text, key_3 text) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE dimension WHEN 'campaign' THEN campaign WHEN 'content' THEN content WHEN 'channel' THEN channel ELSE source END,
           CASE dimension WHEN 'campaign' THEN source WHEN 'content' THEN campaign ELSE '' END,
           CASE dimension WHEN 'campaign' THEN medium WHEN 'content' THEN source ELSE '' END
$$;
COMMENT ON FUNCTION report_groups IS 'Which group of a list something belongs to. dimension: source, campaign (campaign, source, medium), content (content, campaign, source).';

CREATE FUNCTION report_credits(
    from_at timestamptz, to_at timestamptz, site_names text[], bots text,
    device_in text[], device_out text[], country_in text[], country_out text[],
    date_basis text, attribution_model text, report_currency text, minor_units integer, revenue_kind text
) RETURNS TABLE (
    site_id integer, order_id text, touch_at timestamptz, "position" smallint, credit integer,
    source text, medium text, campaign text, content text, term text, channel text,
    counted boolean, gross numeric, paid numeric, refunded numeric, revenue numeric,
    session_id uuid
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT o.site_id, o.order_id, k.touch_at,
           coalesce(k."position", 1::smallint) AS "position",
           coalesce(k.credit, 1000000) AS credit,
           CASE WHEN k.campaign_id IS NOT NULL THEN coalesce(c.source, '(none)')
                WHEN k.order_id IS NOT NULL OR o.visitor_id IS NOT NULL THEN '(direct)'
                ELSE '(not tracked)' END AS source,
           coalesce(c.medium, '(none)') AS medium,
           coalesce(c.campaign, '(none)') AS campaign,
           coalesce(c.content, '(none)') AS content,
           coalesce(c.term, '(none)') AS term,
           CASE WHEN k.campaign_id IS NOT NULL THEN coalesce(c.channel, 'Unassigned')
                WHEN k.order_id IS NOT NULL OR o.visitor_id IS NOT NULL THEN 'Direct'
                ELSE '(not tracked)' END AS channel,
           t.counted,
           CASE WHEN t.counted THEN round(o.gross, minor_units) END AS gross,
           CASE WHEN t.counted THEN round(o.paid, minor_units) END AS paid,
           CASE WHEN t.counted THEN round(o.refunded, minor_units) END AS refunded,
           CASE WHEN t.counted THEN round(CASE revenue_kind WHEN 'paid' THEN o.paid - o.refunded
                                          ELSE coalesce(o.net, 0) END, minor_units) END AS revenue,
           o.session_id
    FROM orders o
    CROSS JOIN LATERAL (SELECT coalesce(o.currency, report_currency) IS NOT DISTINCT FROM report_currency
                               AS counted) t
    LEFT JOIN order_credits k
           ON k.site_id = o.site_id AND k.order_id = o.order_id AND k.model = attribution_model
    LEFT JOIN campaign_labels c ON c.campaign_id = k.campaign_id
    WHERE (site_names IS NULL
           OR o.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY (site_names)))
      AND CASE WHEN date_basis = 'session' THEN true
               ELSE (from_at IS NULL OR o.placed_at >= from_at) AND o.placed_at < to_at END
      AND ((date_basis <> 'session' AND bots <> 'only' AND device_in IS NULL AND device_out IS NULL
            AND country_in IS NULL AND country_out IS NULL)
           OR o.session_id IN (
               SELECT s.session_id FROM session_facts s
               WHERE (date_basis <> 'session'
                      OR ((from_at IS NULL OR (s.started_at >= from_at
                                               AND s.session_hour >= from_at - interval '2 days'))
                          AND s.started_at < to_at AND s.session_hour < to_at))
                 AND CASE bots WHEN 'only' THEN s.bot WHEN 'include' THEN true
                          ELSE date_basis <> 'session' OR NOT s.bot END
                 AND (device_in IS NULL OR s.device LIKE ANY (device_in))
                 AND (device_out IS NULL OR s.device NOT LIKE ALL (device_out))
                 AND (country_in IS NULL OR s.country LIKE ANY (country_in))
                 AND (country_out IS NULL OR s.country NOT LIKE ALL (country_out))))
$$;
COMMENT ON FUNCTION report_credits IS 'The orders of a window by credited touch, with the amounts of the whole order.';

CREATE FUNCTION report_orders(
    from_at timestamptz, to_at timestamptz, site_names text[], bots text,
    source_in text[], source_out text[], medium_in text[], medium_out text[],
    campaign_in text[], campaign_out text[], content_in text[], content_out text[],
    term_in text[], term_out text[], device_in text[], device_out text[],
    country_in text[], country_out text[], channel_in text[], channel_out text[],
    date_basis text, attribution_model text, report_currency text, minor_units integer, revenue_kind text
) RETURNS TABLE (
    site_id integer, order_id text, "position" smallint, credit integer,
    source text, medium text, campaign text, content text, term text, channel text,
    counted boolean, gross numeric, paid numeric, refunded numeric, revenue numeric,
    credited_gross numeric, credited_revenue numeric, session_id uuid
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT l.*
    FROM (
        -- All or nothing of an order.
        SELECT c.site_id, c.order_id, c."position", c.credit, c.source, c.medium, c.campaign, c.content, c.term, c.channel,
               c.counted, c.gross, c.paid, c.refunded, c.revenue,
               CASE WHEN c.credit > 0 THEN c.gross ELSE c.gross * 0 END,
               CASE WHEN c.credit > 0 THEN c.revenue ELSE c.revenue * 0 END,
               c.session_id
        FROM report_credits(from_at, to_at, site_names, bots, device_in, device_out, country_in, country_out,
                        date_basis, attribution_model, report_currency, minor_units, revenue_kind) c
        WHERE c.credit IN (0, 1000000)
        UNION ALL
        SELECT f.site_id, f.order_id, f."position", f.credit, f.source, f.medium, f.campaign, f.content, f.term, f.channel,
               f.counted, f.gross, f.paid, f.refunded, f.revenue,
               (f.gross_floor + CASE WHEN f.gross_turn <= f.gross_left THEN 1 ELSE 0 END) / 10::numeric ^ minor_units,
               (f.revenue_floor + CASE WHEN f.revenue_turn <= f.revenue_left THEN 1 ELSE 0 END) / 10::numeric ^ minor_units,
               f.session_id
        FROM (
            SELECT m.*,
                   row_number() OVER (PARTITION BY m.site_id, m.order_id
                                      ORDER BY m.gross_share - m.gross_floor DESC, m.touch_at, m."position")
                       AS gross_turn,
                   row_number() OVER (PARTITION BY m.site_id, m.order_id
                                      ORDER BY m.revenue_share - m.revenue_floor DESC, m.touch_at, m."position")
                       AS revenue_turn,
                   m.gross * 10::numeric ^ minor_units
                       - sum(m.gross_floor) OVER (PARTITION BY m.site_id, m.order_id) AS gross_left,
                   m.revenue * 10::numeric ^ minor_units
                       - sum(m.revenue_floor) OVER (PARTITION BY m.site_id, m.order_id) AS revenue_left
            FROM (
                SELECT c.*,
                       c.gross * 10::numeric ^ minor_units * c.credit / 1000000          AS gross_share,
                       floor(c.gross * 10::numeric ^ minor_units * c.credit / 1000000)   AS gross_floor,
                       c.revenue * 10::numeric ^ minor_units * c.credit / 1000000        AS revenue_share,
                       floor(c.revenue * 10::numeric ^ minor_units * c.credit / 1000000) AS revenue_floor
                FROM report_credits(from_at, to_at, site_names, bots, device_in, device_out, country_in, country_out,
                        date_basis, attribution_model, report_currency, minor_units, revenue_kind) c
                WHERE c.credit BETWEEN 1 AND 999999
            ) m
        ) f
    ) l (site_id, order_id, "position", credit, source, medium, campaign, content, term, channel, counted, gross, paid, refunded,
         revenue, credited_gross, credited_revenue, session_id)
    WHERE (source_in IS NULL OR l.source LIKE ANY (source_in))
      AND (source_out IS NULL OR l.source NOT LIKE ALL (source_out))
      AND (medium_in IS NULL OR l.medium LIKE ANY (medium_in))
      AND (medium_out IS NULL OR l.medium NOT LIKE ALL (medium_out))
      AND (campaign_in IS NULL OR l.campaign LIKE ANY (campaign_in))
      AND (campaign_out IS NULL OR l.campaign NOT LIKE ALL (campaign_out))
      AND (content_in IS NULL OR l.content LIKE ANY (content_in))
      AND (content_out IS NULL OR l.content NOT LIKE ALL (content_out))
      AND (term_in IS NULL OR l.term LIKE ANY (term_in))
      AND (term_out IS NULL OR l.term NOT LIKE ALL (term_out))
      AND (channel_in IS NULL OR lower(l.channel) LIKE ANY (channel_in))
      AND (channel_out IS NULL OR lower(l.channel) NOT LIKE ALL (channel_out))
$$;
COMMENT ON FUNCTION report_orders IS 'Orders by credited touch, with amounts in the report''s currency; see the migration.';
