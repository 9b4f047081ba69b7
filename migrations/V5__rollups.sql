-- Rollups: sums of sessions, so that a report over years does not read each session again. And which of them are out of
-- date, so that a report is exact at any moment.
--
-- The rule: an hour of sessions (session_hour) is summed up in the rollups, or it has a mark in dirty_hours. Whoever
-- changes a session leaves a mark in the same transaction, and whoever deletes a mark sums up the hour anew in the same
-- transaction (src/store/rollups.rs). A report reads rollups where there is no mark and sessions where there is one.
--
-- Marks are left by triggers, not by the program: so nobody can forget it, neither a binary that is older than this
-- migration, nor whoever erases a visitor or repairs a row by hand.

-- ---------------------------------------------------------------- marks

CREATE TABLE dirty_hours (
    session_hour timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE dirty_hours IS 'Hours whose sessions are not summed up. Append-only, an hour may have many marks: a key would make batches wait for each other, and a mark that is being deleted must not stand for one that comes after.';

DO $migration$
BEGIN
    EXECUTE replace($create$
        CREATE FUNCTION mark_hours() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            INSERT INTO THIS_SCHEMA.dirty_hours SELECT DISTINCT c.session_hour FROM changed c;
            RETURN NULL;
        END
        $$
    $create$, 'THIS_SCHEMA', quote_ident(current_schema()));
END
$migration$;
COMMENT ON FUNCTION mark_hours IS 'Marks the hours of the sessions that a statement changed; with the rights of the owner, so that a writer who was given none yet is not held up.';
REVOKE ALL ON FUNCTION mark_hours FROM PUBLIC;

CREATE TRIGGER sessions_inserted AFTER INSERT ON sessions
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_hours();
CREATE TRIGGER sessions_updated AFTER UPDATE ON sessions
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_hours();
CREATE TRIGGER sessions_deleted AFTER DELETE ON sessions
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_hours();

-- ---------------------------------------------------------------- spans of time

-- By way of UTC, which makes them immutable: so the planner knows the edges of a window, and what they leave out.

CREATE FUNCTION quarter_of(at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT date_bin('15 minutes', at, '1000-01-01 00:00:00+00')
$$;
COMMENT ON FUNCTION quarter_of IS 'Beginning of the quarter of an hour: days of every zone begin at one.';

CREATE FUNCTION quarter_from(at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT quarter_of((at AT TIME ZONE 'UTC' + interval '899.999999 seconds') AT TIME ZONE 'UTC')
$$;
COMMENT ON FUNCTION quarter_from IS 'Beginning of the first quarter of an hour that begins then or later.';

CREATE FUNCTION day_of(at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT date_bin('24 hours', at, '1000-01-01 00:00:00+00')
$$;
COMMENT ON FUNCTION day_of IS 'Beginning of the UTC day.';

CREATE FUNCTION least_session_id(hour timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT rpad(lpad(to_hex((date_part('epoch', hour AT TIME ZONE 'UTC') * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;
COMMENT ON FUNCTION least_session_id IS 'No session of this hour, or of a later one, has a lesser id: the primary key finds the sessions of an hour by it.';

-- ---------------------------------------------------------------- sums

-- One row for sessions that agree in all of the first five columns. Every sum is of whole numbers, so that a report adds
-- up to the same whichever rows it reads. The bot column is session_facts.bot.
CREATE TABLE session_quarters (
    session_hour  timestamptz NOT NULL,
    quarter       timestamptz NOT NULL,          -- of started_at
    campaign_id   bigint,                        -- null: direct
    site_id       integer     NOT NULL,
    bot           boolean     NOT NULL,
    sessions      integer     NOT NULL,
    first_visits  integer     NOT NULL,          -- sessions with number 1
    bounces       integer     NOT NULL,
    conversions   integer     NOT NULL,
    lead_sessions integer     NOT NULL,
    registrations integer     NOT NULL,
    page_views    bigint      NOT NULL,
    milliseconds  bigint      NOT NULL,          -- from the first to the last activity, without those of bounces
    points        bigint      NOT NULL,
    visitors      bytea       NOT NULL           -- sketch_code() of each register in use, three bytes each
);
COMMENT ON TABLE session_quarters IS 'Sessions summed up by quarter hour: for the edges of a period, and for days of which an hour is not summed up.';
CREATE INDEX session_quarters_hour ON session_quarters (session_hour);

CREATE TABLE session_days (
    session_day   timestamptz NOT NULL,          -- UTC day of session_hour
    started_day   timestamptz NOT NULL,          -- UTC day of started_at
    campaign_id   bigint,
    site_id       integer     NOT NULL,
    bot           boolean     NOT NULL,
    sessions      integer     NOT NULL,
    first_visits  integer     NOT NULL,
    bounces       integer     NOT NULL,
    conversions   integer     NOT NULL,
    lead_sessions integer     NOT NULL,
    registrations integer     NOT NULL,
    page_views    bigint      NOT NULL,
    milliseconds  bigint      NOT NULL,
    points        bigint      NOT NULL,
    visitors      bytea       NOT NULL
);
COMMENT ON TABLE session_days IS 'The same by day. Right for days of which no hour has a mark; nobody reads the others.';
CREATE INDEX session_days_day ON session_days (session_day);

-- HyperLogLog with 2^12 registers over the first eight bytes of SHA-256 of the visitor id: the first twelve bits are the
-- register, the place of the first one among the other 52 its value. The least error of an estimate of one visitor in
-- sixty at three bytes for a register in use.
CREATE FUNCTION sketch_code(visitor_id uuid) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ('x' || encode(substring(sha256(uuid_send(visitor_id)) FOR 2), 'hex'))::bit(12)::integer << 8
           | coalesce(nullif(position(B'1' IN
               ('x' || encode(substring(sha256(uuid_send(visitor_id)) FROM 2 FOR 7), 'hex'))::bit(56) << 4), 0), 53)
$$;
COMMENT ON FUNCTION sketch_code IS 'Where a visitor stands in a sketch: register << 8 | value. The greatest of each register is the sketch.';

CREATE FUNCTION sketch_bytes(code integer) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT substring(int4send(code) FROM 2)
$$;
COMMENT ON FUNCTION sketch_bytes IS 'As sketches have it. Sketches one after the other are a sketch, too: the greatest value of each register counts.';

-- Sums of the sessions whose session_hour lies in one of the spans, which begin at `spans` and are `span` long; by
-- campaign, site and bot, and by `step` of their start. Each span is read by the primary key, whatever the planner
-- thinks of their number.
CREATE FUNCTION session_sums(spans timestamptz[], span interval, step interval) RETURNS TABLE (
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
            WHERE s.session_hour >= p.session_span AND s.session_hour < p.session_span + span
              AND s.session_id >= least_session_id(p.session_span)
              AND s.session_id < least_session_id(p.session_span + span)
            OFFSET 0
        ) f
        GROUP BY 1, 2, 3, 4, 5, f.code >> 8
    ) r
    GROUP BY 1, 2, 3, 4, 5
$$;
COMMENT ON FUNCTION session_sums IS 'What the rollups of some hours or days must be.';

-- ---------------------------------------------------------------- reports

-- Days that cannot be read from session_days: one of their hours has a mark, or an edge of the window is within them or
-- within one of the two days after, in which their sessions may begin (as report_sessions() has it).
CREATE FUNCTION broken_days(from_at timestamptz, to_at timestamptz) RETURNS TABLE (session_day timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT day_of(d.session_hour)
    FROM dirty_hours d
    WHERE d.session_hour >= from_at - interval '72 hours' AND d.session_hour < to_at
    UNION
    SELECT day_of(e.edge) - n.days * interval '24 hours'
    FROM (VALUES (from_at), (to_at)) AS e(edge)
    CROSS JOIN generate_series(0, 2) AS n(days)
    WHERE e.edge <> day_of(e.edge)
$$;
COMMENT ON FUNCTION broken_days IS 'Days that a report over this window reads by quarter hours and sessions.';

-- Rollups of the sessions that began in [from_at, to_at), whose edges are quarter hours: but for hours with a mark.
CREATE FUNCTION rolled_sums(from_at timestamptz, to_at timestamptz) RETURNS TABLE (
    campaign_id bigint, site_id integer, bot boolean, sessions integer, first_visits integer, bounces integer,
    conversions integer, lead_sessions integer, registrations integer, page_views bigint, milliseconds bigint,
    points bigint, visitors bytea
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT d.campaign_id, d.site_id, d.bot, d.sessions, d.first_visits, d.bounces, d.conversions, d.lead_sessions,
           d.registrations, d.page_views, d.milliseconds, d.points, d.visitors
    FROM session_days d
    WHERE d.session_day >= from_at - interval '48 hours' AND d.session_day < to_at
      AND d.started_day >= from_at AND d.started_day <= to_at - interval '24 hours'
      AND NOT EXISTS (SELECT FROM broken_days(from_at, to_at) b WHERE b.session_day = d.session_day)
    UNION ALL
    SELECT q.campaign_id, q.site_id, q.bot, q.sessions, q.first_visits, q.bounces, q.conversions, q.lead_sessions,
           q.registrations, q.page_views, q.milliseconds, q.points, q.visitors
    FROM broken_days(from_at, to_at) b
    CROSS JOIN LATERAL (
        SELECT x.*
        FROM session_quarters x
        WHERE x.session_hour >= b.session_day AND x.session_hour < b.session_day + interval '24 hours'
          AND x.session_hour >= from_at - interval '48 hours' AND x.session_hour < to_at
          AND x.quarter >= from_at AND x.quarter < to_at
        OFFSET 0
    ) q
    WHERE NOT EXISTS (SELECT FROM dirty_hours h WHERE h.session_hour = q.session_hour)
$$;
COMMENT ON FUNCTION rolled_sums IS 'What of a window can be read from rollups, by day where possible.';

-- The same, summed up where it is and session by session where not, with the filters of report_sessions():
--   [from_at, to_at)          all of it is answered;
--   [rolled_from, rolled_to)  within it rollups are read, and sessions of hours with a mark only.
CREATE FUNCTION mixed_sums(
    from_at timestamptz, to_at timestamptz, site_names text[], bots text,
    source_in text[], source_out text[], medium_in text[], medium_out text[],
    campaign_in text[], campaign_out text[], content_in text[], content_out text[],
    term_in text[], term_out text[], device_in text[], device_out text[],
    country_in text[], country_out text[],
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
               coalesce(c.content, '(none)') AS content, coalesce(c.term, '(none)') AS term
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
                                 device_in, device_out, country_in, country_out) x
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
                             device_in, device_out, country_in, country_out) s
        UNION ALL
        SELECT s.*
        FROM report_sessions(greatest(rolled_from, rolled_to), to_at, site_names, bots, source_in, source_out, medium_in,
                             medium_out, campaign_in, campaign_out, content_in, content_out, term_in, term_out,
                             device_in, device_out, country_in, country_out) s
    ) f
$$;
COMMENT ON FUNCTION mixed_sums IS 'report_sums() with the part of the window that rollups answer.';

CREATE FUNCTION report_sums(
    from_at timestamptz, to_at timestamptz, site_names text[], bots text,
    source_in text[], source_out text[], medium_in text[], medium_out text[],
    campaign_in text[], campaign_out text[], content_in text[], content_out text[],
    term_in text[], term_out text[], device_in text[], device_out text[],
    country_in text[], country_out text[]
) RETURNS TABLE (
    campaign_id bigint, sessions integer, first_visits integer, bounces integer, conversions integer,
    lead_sessions integer, registrations integer, page_views bigint, milliseconds bigint, points bigint, visitors bytea
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT m.*
    FROM mixed_sums(from_at, to_at, site_names, bots, source_in, source_out, medium_in, medium_out,
                    campaign_in, campaign_out, content_in, content_out, term_in, term_out,
                    device_in, device_out, country_in, country_out,
                    -- Whole quarter hours; no rollup knows devices and countries: then none of the window.
                    CASE WHEN device_in IS NULL AND device_out IS NULL AND country_in IS NULL AND country_out IS NULL
                         THEN coalesce(quarter_from(from_at), '-infinity')
                         ELSE to_at END,
                    quarter_of(to_at)) m
$$;
COMMENT ON FUNCTION report_sums IS 'Sums over the sessions that report_sessions() gives, in rows to be added up: from rollups where they are, else of one session each. visitors: a sketch.';

CREATE FUNCTION report_groups(
    dimension text, source text, medium text, campaign text, content text
) RETURNS TABLE (key_1 text, key_2 text, key_3 text) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE dimension WHEN 'campaign' THEN campaign WHEN 'content' THEN content ELSE source END,
           CASE dimension WHEN 'campaign' THEN source WHEN 'content' THEN campaign ELSE '' END,
           CASE dimension WHEN 'campaign' THEN medium WHEN 'content' THEN source ELSE '' END
$$;
COMMENT ON FUNCTION report_groups IS 'Which group of a list something belongs to. dimension: source, campaign (campaign, source, medium), content (content, campaign, source).';

-- ---------------------------------------------------------------- orders

-- Orders are read one by one: there are few of them beside sessions. What cost time was to split the amounts of those
-- that belong to one touch alone, which are nearly all; report_orders() says what it said before.

CREATE FUNCTION report_credits(
    from_at timestamptz, to_at timestamptz, site_names text[], bots text,
    device_in text[], device_out text[], country_in text[], country_out text[],
    date_basis text, attribution_model text, report_currency text, minor_units integer, revenue_kind text
) RETURNS TABLE (
    site_id integer, order_id text, touch_at timestamptz, "position" smallint, credit integer,
    source text, medium text, campaign text, content text, term text,
    counted boolean, gross numeric, paid numeric, refunded numeric, revenue numeric
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
           t.counted,
           CASE WHEN t.counted THEN round(o.gross, minor_units) END AS gross,
           CASE WHEN t.counted THEN round(o.paid, minor_units) END AS paid,
           CASE WHEN t.counted THEN round(o.refunded, minor_units) END AS refunded,
           CASE WHEN t.counted THEN round(CASE revenue_kind WHEN 'paid' THEN o.paid - o.refunded
                                          ELSE coalesce(o.net, 0) END, minor_units) END AS revenue
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

CREATE OR REPLACE FUNCTION report_orders(
    from_at timestamptz, to_at timestamptz, site_names text[], bots text,
    source_in text[], source_out text[], medium_in text[], medium_out text[],
    campaign_in text[], campaign_out text[], content_in text[], content_out text[],
    term_in text[], term_out text[], device_in text[], device_out text[],
    country_in text[], country_out text[],
    date_basis text, attribution_model text, report_currency text, minor_units integer, revenue_kind text
) RETURNS TABLE (
    site_id integer, order_id text, "position" smallint, credit integer,
    source text, medium text, campaign text, content text, term text,
    counted boolean, gross numeric, paid numeric, refunded numeric, revenue numeric,
    credited_gross numeric, credited_revenue numeric
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT l.*
    FROM (
        -- All or nothing of an order.
        SELECT c.site_id, c.order_id, c."position", c.credit, c.source, c.medium, c.campaign, c.content, c.term,
               c.counted, c.gross, c.paid, c.refunded, c.revenue,
               CASE WHEN c.credit > 0 THEN c.gross ELSE c.gross * 0 END,
               CASE WHEN c.credit > 0 THEN c.revenue ELSE c.revenue * 0 END
        FROM report_credits(from_at, to_at, site_names, bots, device_in, device_out, country_in, country_out,
                        date_basis, attribution_model, report_currency, minor_units, revenue_kind) c
        WHERE c.credit IN (0, 1000000)
        UNION ALL
        SELECT f.site_id, f.order_id, f."position", f.credit, f.source, f.medium, f.campaign, f.content, f.term,
               f.counted, f.gross, f.paid, f.refunded, f.revenue,
               (f.gross_floor + CASE WHEN f.gross_turn <= f.gross_left THEN 1 ELSE 0 END) / 10::numeric ^ minor_units,
               (f.revenue_floor + CASE WHEN f.revenue_turn <= f.revenue_left THEN 1 ELSE 0 END) / 10::numeric ^ minor_units
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
    ) l (site_id, order_id, "position", credit, source, medium, campaign, content, term, counted, gross, paid, refunded,
         revenue, credited_gross, credited_revenue)
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
$$;

-- ---------------------------------------------------------------- the past

-- All hours of each day that has sessions. Nobody writes sessions meanwhile: the triggers above took a lock. The days
-- are found by the primary key, so that it does not take long.
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
INSERT INTO dirty_hours
SELECT d.day + h.hours * interval '1 hour'
FROM days d
CROSS JOIN generate_series(0, 23) AS h(hours);
