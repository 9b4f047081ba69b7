-- Reports over years look fewer things up one by one.
--
-- Which currencies orders have, and who placed them, is read from indexes of their own, of all orders at once. What an order
-- amounts to is asked without its credits where nothing hangs on them. Of the edges of a window that are whole quarter hours no
-- session is read: an empty span was looked for among the sessions of two days, in a series bucket after bucket.

CREATE INDEX orders_currency ON orders (site_id, currency) WHERE currency IS NOT NULL;
CREATE INDEX order_entries_customer ON order_entries (site_id, order_id) INCLUDE (phone, email, user_id)
    WHERE phone IS NOT NULL OR email IS NOT NULL OR user_id IS NOT NULL;

CREATE FUNCTION report_amounts(
    from_at timestamptz, to_at timestamptz, site_names text[], report_currency text, minor_units integer, revenue_kind text
) RETURNS TABLE (
    visitor_id uuid, placed_at timestamptz, is_paid boolean, counted boolean,
    gross numeric, paid numeric, refunded numeric, revenue numeric
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT o.visitor_id, o.placed_at, o.paid > 0, t.counted,
           CASE WHEN t.counted THEN round(o.gross, minor_units) END,
           CASE WHEN t.counted THEN round(o.paid, minor_units) END,
           CASE WHEN t.counted THEN round(o.refunded, minor_units) END,
           CASE WHEN t.counted THEN round(CASE revenue_kind WHEN 'paid' THEN o.paid - o.refunded
                                          ELSE coalesce(o.net, 0) END, minor_units) END
    FROM orders o
    CROSS JOIN LATERAL (SELECT coalesce(o.currency, report_currency) IS NOT DISTINCT FROM report_currency
                               AS counted) t
    WHERE (from_at IS NULL OR o.placed_at >= from_at) AND o.placed_at < to_at
      AND (site_names IS NULL OR o.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY (site_names)))
$$;
COMMENT ON FUNCTION report_amounts IS 'The orders placed in a window, whatever credited them, with the amounts that report_credits() has.';

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
              AND x.session_hour >= rolled_from - interval '48 hours' AND x.session_hour < rolled_to
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
        WHERE coalesce(from_at, '-infinity') < least(to_at, rolled_from)
        UNION ALL
        SELECT s.*
        FROM report_sessions(greatest(rolled_from, rolled_to), to_at, site_names, bots, source_in, source_out, medium_in,
                             medium_out, campaign_in, campaign_out, content_in, content_out, term_in, term_out,
                             device_in, device_out, country_in, country_out, channel_in, channel_out) s
        WHERE greatest(rolled_from, rolled_to) < to_at
    ) f
$$;
