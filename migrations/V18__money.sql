-- Money of orders, to the cent in every column; and windows that are known row by row.
--
-- What was paid and refunded of an order is split among its touches as its value and revenue are, so that parts add up to the
-- whole whichever touches pass a filter. Whether an order was paid does not hang on its currency. With date_basis 'session'
-- a session that a rule leaves out takes its money with it.
--
-- Credits are looked up order by order: a join reads those of all orders ever, however few the window has. Whether a model
-- shares orders among touches is asked once, instead of looking at each order a second time to see.
--
-- A series asks for each of its buckets: that months before it are not read must be seen then, which a condition that lets
-- everything pass when there is no beginning kept from being.

CREATE INDEX order_credits_shared ON order_credits (model) WHERE credit BETWEEN 1 AND 999999;

CREATE FUNCTION hour_of(session_id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT timestamptz '1970-01-01 00:00:00+00'
           + ('x' || substr(encode(uuid_send(session_id), 'hex'), 1, 12))::bit(48)::bigint * interval '1 millisecond'
$$;
COMMENT ON FUNCTION hour_of IS 'The hour that a session''s id says, by which its month is found.';

DROP FUNCTION report_orders(timestamptz, timestamptz, text[], text, text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text, text, text, integer, text);
DROP FUNCTION report_credits(timestamptz, timestamptz, text[], text, text[], text[], text[], text[], text, text, text, integer, text);

CREATE FUNCTION report_credits(
    from_at timestamptz, to_at timestamptz, site_names text[], bots text,
    device_in text[], device_out text[], country_in text[], country_out text[],
    date_basis text, attribution_model text, report_currency text, minor_units integer, revenue_kind text
) RETURNS TABLE (
    site_id integer, order_id text, touch_at timestamptz, "position" smallint, credit integer,
    source text, medium text, campaign text, content text, term text, channel text,
    counted boolean, gross numeric, paid numeric, refunded numeric, revenue numeric,
    session_id uuid, is_paid boolean
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
           o.session_id, o.paid > 0
    FROM orders o
    CROSS JOIN LATERAL (SELECT coalesce(o.currency, report_currency) IS NOT DISTINCT FROM report_currency
                               AS counted) t
    LEFT JOIN LATERAL (
        SELECT x.* FROM order_credits x
        WHERE x.site_id = o.site_id AND x.order_id = o.order_id AND x.model = attribution_model
        OFFSET 0
    ) k ON true
    LEFT JOIN campaign_labels c ON c.campaign_id = k.campaign_id
    WHERE (site_names IS NULL
           OR o.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY (site_names)))
      AND (date_basis = 'session' OR ((from_at IS NULL OR o.placed_at >= from_at) AND o.placed_at < to_at))
      -- By the session's beginning: those of the window, all of them, once.
      AND (date_basis <> 'session'
           OR o.session_id IN (
               SELECT s.session_id FROM session_facts s
               WHERE s.started_at >= coalesce(from_at, '-infinity') AND s.started_at < to_at
                 AND s.session_hour >= coalesce(from_at - interval '2 days', '-infinity') AND s.session_hour < to_at
                 -- Money of sessions that a rule leaves out is no session's; one that another continues is told by it.
                 AND s.excluded_by IS NULL
                 AND CASE bots WHEN 'only' THEN s.bot WHEN 'include' THEN true ELSE NOT s.bot END
                 AND (device_in IS NULL OR s.device LIKE ANY (device_in))
                 AND (device_out IS NULL OR s.device NOT LIKE ALL (device_out))
                 AND (country_in IS NULL OR s.country LIKE ANY (country_in))
                 AND (country_out IS NULL OR s.country NOT LIKE ALL (country_out))))
      -- By the order's time: its session is looked up, wherever it is, one by one, since a join would read all there are.
      AND (date_basis = 'session'
           OR (bots <> 'only' AND device_in IS NULL AND device_out IS NULL AND country_in IS NULL AND country_out IS NULL)
           OR (SELECT (bots <> 'only' OR s.bot)
                      AND (device_in IS NULL OR s.device LIKE ANY (device_in))
                      AND (device_out IS NULL OR s.device NOT LIKE ALL (device_out))
                      AND (country_in IS NULL OR s.country LIKE ANY (country_in))
                      AND (country_out IS NULL OR s.country NOT LIKE ALL (country_out))
               FROM session_facts s
               WHERE s.session_id = o.session_id AND s.session_hour = hour_of(o.session_id)
               LIMIT 1))
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
    credited_gross numeric, credited_revenue numeric, credited_paid numeric, credited_refunded numeric,
    session_id uuid, is_paid boolean
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT l.*
    FROM (
        -- All or nothing of an order.
        SELECT c.site_id, c.order_id, c."position", c.credit, c.source, c.medium, c.campaign, c.content, c.term, c.channel, c.counted, c.gross, c.paid, c.refunded, c.revenue,
               CASE WHEN c.credit > 0 THEN c.gross ELSE c.gross * 0 END,
               CASE WHEN c.credit > 0 THEN c.revenue ELSE c.revenue * 0 END,
               CASE WHEN c.credit > 0 THEN c.paid ELSE c.paid * 0 END,
               CASE WHEN c.credit > 0 THEN c.refunded ELSE c.refunded * 0 END,
               c.session_id, c.is_paid
        FROM report_credits(from_at, to_at, site_names, bots, device_in, device_out, country_in, country_out,
                        date_basis, attribution_model, report_currency, minor_units, revenue_kind) c
        WHERE c.credit IN (0, 1000000)
        UNION ALL
        SELECT f.site_id, f.order_id, f."position", f.credit, f.source, f.medium, f.campaign, f.content, f.term, f.channel, f.counted, f.gross, f.paid, f.refunded, f.revenue,
               (f.gross_floor + CASE WHEN f.gross_turn <= f.gross_left THEN 1 ELSE 0 END) / 10::numeric ^ minor_units,
               (f.revenue_floor + CASE WHEN f.revenue_turn <= f.revenue_left THEN 1 ELSE 0 END) / 10::numeric ^ minor_units,
               (f.paid_floor + CASE WHEN f.paid_turn <= f.paid_left THEN 1 ELSE 0 END) / 10::numeric ^ minor_units,
               (f.refunded_floor + CASE WHEN f.refunded_turn <= f.refunded_left THEN 1 ELSE 0 END) / 10::numeric ^ minor_units,
               f.session_id, f.is_paid
        FROM (
            SELECT m.*,
                   row_number() OVER (one ORDER BY m.gross_share - m.gross_floor DESC, m.touch_at, m."position") AS gross_turn,
                   m.gross * 10::numeric ^ minor_units - sum(m.gross_floor) OVER one AS gross_left,
                   row_number() OVER (one ORDER BY m.revenue_share - m.revenue_floor DESC, m.touch_at, m."position") AS revenue_turn,
                   m.revenue * 10::numeric ^ minor_units - sum(m.revenue_floor) OVER one AS revenue_left,
                   row_number() OVER (one ORDER BY m.paid_share - m.paid_floor DESC, m.touch_at, m."position") AS paid_turn,
                   m.paid * 10::numeric ^ minor_units - sum(m.paid_floor) OVER one AS paid_left,
                   row_number() OVER (one ORDER BY m.refunded_share - m.refunded_floor DESC, m.touch_at, m."position") AS refunded_turn,
                   m.refunded * 10::numeric ^ minor_units - sum(m.refunded_floor) OVER one AS refunded_left
            FROM (
                SELECT c.*,
                       c.gross * 10::numeric ^ minor_units * c.credit / 1000000 AS gross_share,
                       floor(c.gross * 10::numeric ^ minor_units * c.credit / 1000000) AS gross_floor,
                       c.revenue * 10::numeric ^ minor_units * c.credit / 1000000 AS revenue_share,
                       floor(c.revenue * 10::numeric ^ minor_units * c.credit / 1000000) AS revenue_floor,
                       c.paid * 10::numeric ^ minor_units * c.credit / 1000000 AS paid_share,
                       floor(c.paid * 10::numeric ^ minor_units * c.credit / 1000000) AS paid_floor,
                       c.refunded * 10::numeric ^ minor_units * c.credit / 1000000 AS refunded_share,
                       floor(c.refunded * 10::numeric ^ minor_units * c.credit / 1000000) AS refunded_floor
                FROM report_credits(from_at, to_at, site_names, bots, device_in, device_out, country_in, country_out,
                        date_basis, attribution_model, report_currency, minor_units, revenue_kind) c
                WHERE c.credit BETWEEN 1 AND 999999
            ) m
            WINDOW one AS (PARTITION BY m.site_id, m.order_id)
        ) f
        -- Asked once: most models share no order, and then nothing is read here.
        WHERE EXISTS (SELECT FROM order_credits x WHERE x.model = attribution_model AND x.credit BETWEEN 1 AND 999999)
    ) l (site_id, order_id, "position", credit, source, medium, campaign, content, term, channel, counted, gross, paid, refunded, revenue,
         credited_gross, credited_revenue, credited_paid, credited_refunded, session_id, is_paid)
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
    WHERE (from_at IS NULL OR s.started_at >= from_at)
      AND s.session_hour >= coalesce(from_at - interval '2 days', '-infinity')
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
