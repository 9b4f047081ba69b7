-- Credits of a year of orders are joined as a whole.
--
-- They were looked up order by order, which nothing beats for a day and everything for a year: 2 s in place of 0.5 s. The index
-- has all that most reports ask of a credit, so that the planner may choose either way.

CREATE INDEX order_credits_model ON order_credits (model, site_id, order_id)
    INCLUDE ("position", credit, campaign_id, touch_at);

CREATE OR REPLACE FUNCTION report_credits(
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
