-- What an order is worth in another currency: by the rate of its day.
--
-- The rate is the one that was imported for the pair, else the inverse of the opposite one; where neither is known, the one
-- through another currency that has a rate with both on one day (of several the first by name). Banks publish none on days
-- off: the latest of the day and the seven before it counts. A day is one of day_zone, the shop's own zone, whatever zone a
-- report is asked for in: an order is worth the same in all of them. day_zone null: no rate is asked for.
--
-- An amount is multiplied, divided and rounded to minor units once, order by order: sums of any parts add up as those of
-- orders in the report's own currency do. An order without a rate has no amounts (counted = false).

CREATE TABLE exchange_rates (
    currency    text        NOT NULL,            -- one of it …
    quote       text        NOT NULL,            -- … is worth so much of this
    day         date        NOT NULL,
    rate        numeric     NOT NULL CHECK (rate > 0),
    imported_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (currency, quote, day)
);
CREATE INDEX exchange_rates_currency ON exchange_rates (currency, day);
CREATE INDEX exchange_rates_quote ON exchange_rates (quote, day);
COMMENT ON TABLE exchange_rates IS 'What a unit of a currency is worth in another one, by the day; of a day and a pair what was imported last stands.';

CREATE VIEW exchange_rate_sides AS
SELECT r.currency, r.quote, r.day, r.rate AS factor, 1::numeric AS divisor, false AS is_inverse FROM exchange_rates r
UNION ALL
SELECT r.quote, r.currency, r.day, 1::numeric, r.rate, true FROM exchange_rates r;
COMMENT ON VIEW exchange_rate_sides IS 'Each rate as it was imported, and its inverse: an amount times factor by divisor.';

CREATE FUNCTION exchange_rate(given text, wanted text, on_day date) RETURNS TABLE (
    factor numeric, divisor numeric, rate_day date, by_way_of text
) LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 AS $$
    SELECT coalesce(d.factor, c.factor), coalesce(d.divisor, c.divisor), coalesce(d.day, c.day), c.by_way_of
    FROM (VALUES (true)) AS one(one)
    -- That it is another currency is looked at once for an order, and then nothing else is done for one that is not.
    LEFT JOIN LATERAL (
        SELECT s.factor, s.divisor, s.day
        FROM exchange_rate_sides s
        WHERE given <> wanted AND s.currency = given AND s.quote = wanted AND s.day <= on_day AND s.day >= on_day - 7
        ORDER BY s.day DESC, s.is_inverse
        LIMIT 1
    ) d ON true
    LEFT JOIN LATERAL (
        SELECT a.factor * b.factor AS factor, a.divisor * b.divisor AS divisor, a.day, a.quote AS by_way_of
        FROM exchange_rate_sides a
        CROSS JOIN LATERAL (
            SELECT s.factor, s.divisor, s.is_inverse
            FROM exchange_rate_sides s
            WHERE s.currency = a.quote AND s.quote = wanted AND s.day = a.day
            OFFSET 0
        ) b
        WHERE d.day IS NULL AND given <> wanted AND a.currency = given AND a.day <= on_day AND a.day >= on_day - 7
        ORDER BY a.day DESC, a.quote, a.is_inverse, b.is_inverse
        LIMIT 1
    ) c ON true
    WHERE on_day IS NOT NULL AND coalesce(d.day, c.day) IS NOT NULL
$$;
COMMENT ON FUNCTION exchange_rate IS 'By what an amount is turned into another currency; no row where no rate is known.';

CREATE FUNCTION worth(amount numeric, is_same boolean, factor numeric, divisor numeric, minor_units integer)
RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN is_same THEN round(amount, minor_units) ELSE round(amount * factor / divisor, minor_units) END
$$;
COMMENT ON FUNCTION worth IS 'An amount in the report''s currency; null without a rate.';

DROP FUNCTION report_orders(timestamptz, timestamptz, text[], text, text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text, text, text, integer, text);
DROP FUNCTION report_credits(timestamptz, timestamptz, text[], text, text[], text[], text[], text[], text, text, text, integer, text);
DROP FUNCTION report_amounts(timestamptz, timestamptz, text[], text, integer, text);

-- Credits were looked up order by order, which nothing beats for a day and everything for a year: 2 s in place of 0.5 s. The
-- index has all that most reports ask of a credit, so that the planner may choose either way.
CREATE INDEX order_credits_model ON order_credits (model, site_id, order_id)
    INCLUDE ("position", credit, campaign_id, touch_at);

CREATE FUNCTION report_credits(
    from_at timestamptz, to_at timestamptz, site_names text[], bots text,
    device_in text[], device_out text[], country_in text[], country_out text[],
    date_basis text, attribution_model text, report_currency text, minor_units integer, revenue_kind text,
    day_zone text
) RETURNS TABLE (
    site_id integer, order_id text, touch_at timestamptz, "position" smallint, credit integer,
    source text, medium text, campaign text, content text, term text, channel text,
    counted boolean, gross numeric, paid numeric, refunded numeric, revenue numeric,
    session_id uuid, is_paid boolean, factor numeric, divisor numeric
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
           t.is_same OR r.factor IS NOT NULL AS counted,
           worth(o.gross, t.is_same, r.factor, r.divisor, minor_units) AS gross,
           worth(o.paid, t.is_same, r.factor, r.divisor, minor_units) AS paid,
           worth(o.refunded, t.is_same, r.factor, r.divisor, minor_units) AS refunded,
           worth(CASE revenue_kind WHEN 'paid' THEN o.paid - o.refunded ELSE coalesce(o.net, 0) END,
                 t.is_same, r.factor, r.divisor, minor_units) AS revenue,
           o.session_id, o.paid > 0,
           CASE WHEN t.is_same THEN 1 ELSE r.factor END, CASE WHEN t.is_same THEN 1 ELSE r.divisor END
    FROM orders o
    CROSS JOIN LATERAL (SELECT coalesce(o.currency, report_currency) IS NOT DISTINCT FROM report_currency AS is_same) t
    LEFT JOIN LATERAL exchange_rate(o.currency, report_currency, (o.placed_at AT TIME ZONE day_zone)::date) r ON true
    LEFT JOIN order_credits k ON k.model = attribution_model AND k.site_id = o.site_id AND k.order_id = o.order_id
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
    date_basis text, attribution_model text, report_currency text, minor_units integer, revenue_kind text,
    day_zone text
) RETURNS TABLE (
    site_id integer, order_id text, "position" smallint, credit integer,
    source text, medium text, campaign text, content text, term text, channel text,
    counted boolean, gross numeric, paid numeric, refunded numeric, revenue numeric,
    credited_gross numeric, credited_revenue numeric, credited_paid numeric, credited_refunded numeric,
    session_id uuid, is_paid boolean, factor numeric, divisor numeric
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT l.*
    FROM (
        -- All or nothing of an order.
        SELECT c.site_id, c.order_id, c."position", c.credit, c.source, c.medium, c.campaign, c.content, c.term, c.channel, c.counted, c.gross, c.paid, c.refunded, c.revenue,
               CASE WHEN c.credit > 0 THEN c.gross ELSE c.gross * 0 END,
               CASE WHEN c.credit > 0 THEN c.revenue ELSE c.revenue * 0 END,
               CASE WHEN c.credit > 0 THEN c.paid ELSE c.paid * 0 END,
               CASE WHEN c.credit > 0 THEN c.refunded ELSE c.refunded * 0 END,
               c.session_id, c.is_paid, c.factor, c.divisor
        FROM report_credits(from_at, to_at, site_names, bots, device_in, device_out, country_in, country_out,
                        date_basis, attribution_model, report_currency, minor_units, revenue_kind, day_zone) c
        WHERE c.credit IN (0, 1000000)
        UNION ALL
        SELECT f.site_id, f.order_id, f."position", f.credit, f.source, f.medium, f.campaign, f.content, f.term, f.channel, f.counted, f.gross, f.paid, f.refunded, f.revenue,
               (f.gross_floor + CASE WHEN f.gross_turn <= f.gross_left THEN 1 ELSE 0 END) / 10::numeric ^ minor_units,
               (f.revenue_floor + CASE WHEN f.revenue_turn <= f.revenue_left THEN 1 ELSE 0 END) / 10::numeric ^ minor_units,
               (f.paid_floor + CASE WHEN f.paid_turn <= f.paid_left THEN 1 ELSE 0 END) / 10::numeric ^ minor_units,
               (f.refunded_floor + CASE WHEN f.refunded_turn <= f.refunded_left THEN 1 ELSE 0 END) / 10::numeric ^ minor_units,
               f.session_id, f.is_paid, f.factor, f.divisor
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
                        date_basis, attribution_model, report_currency, minor_units, revenue_kind, day_zone) c
                WHERE c.credit BETWEEN 1 AND 999999
            ) m
            WINDOW one AS (PARTITION BY m.site_id, m.order_id)
        ) f
        -- Asked once: most models share no order, and then nothing is read here.
        WHERE EXISTS (SELECT FROM order_credits x WHERE x.model = attribution_model AND x.credit BETWEEN 1 AND 999999)
    ) l (site_id, order_id, "position", credit, source, medium, campaign, content, term, channel, counted, gross, paid, refunded, revenue,
         credited_gross, credited_revenue, credited_paid, credited_refunded, session_id, is_paid, factor, divisor)
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

CREATE FUNCTION report_amounts(
    from_at timestamptz, to_at timestamptz, site_names text[], report_currency text, minor_units integer, revenue_kind text,
    day_zone text
) RETURNS TABLE (
    visitor_id uuid, placed_at timestamptz, is_paid boolean, counted boolean,
    gross numeric, paid numeric, refunded numeric, revenue numeric
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT o.visitor_id, o.placed_at, o.paid > 0, t.is_same,
           CASE WHEN t.is_same THEN round(o.gross, minor_units) END,
           CASE WHEN t.is_same THEN round(o.paid, minor_units) END,
           CASE WHEN t.is_same THEN round(o.refunded, minor_units) END,
           CASE WHEN t.is_same THEN round(CASE revenue_kind WHEN 'paid' THEN o.paid - o.refunded
                                          ELSE coalesce(o.net, 0) END, minor_units) END
    FROM orders o
    CROSS JOIN LATERAL (SELECT coalesce(o.currency, report_currency) IS NOT DISTINCT FROM report_currency AS is_same) t
    WHERE (from_at IS NULL OR o.placed_at >= from_at) AND o.placed_at < to_at
      AND (site_names IS NULL OR o.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY (site_names)))
      AND (day_zone IS NULL OR t.is_same)
    UNION ALL
    -- By themselves: where no rate is asked for, nothing is read here, and nothing above is slower for it.
    SELECT o.visitor_id, o.placed_at, o.paid > 0, r.factor IS NOT NULL,
           worth(o.gross, false, r.factor, r.divisor, minor_units),
           worth(o.paid, false, r.factor, r.divisor, minor_units),
           worth(o.refunded, false, r.factor, r.divisor, minor_units),
           worth(CASE revenue_kind WHEN 'paid' THEN o.paid - o.refunded ELSE coalesce(o.net, 0) END,
                 false, r.factor, r.divisor, minor_units)
    FROM orders o
    LEFT JOIN LATERAL exchange_rate(o.currency, report_currency, (o.placed_at AT TIME ZONE day_zone)::date) r ON true
    WHERE (from_at IS NULL OR o.placed_at >= from_at) AND o.placed_at < to_at
      AND (site_names IS NULL OR o.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY (site_names)))
      AND day_zone IS NOT NULL AND o.currency <> report_currency
$$;
COMMENT ON FUNCTION report_amounts IS 'The orders placed in a window, whatever credited them, with the amounts that report_credits() has.';
