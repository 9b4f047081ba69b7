-- What reports read: sessions with their labels, and orders with their credits. One definition for every report.
--
-- Why functions: PostgreSQL inlines a STABLE function that is one SELECT, so a report pays for the joins and filters
-- that it uses and no others, and the words "in the window", "not a bot", "from this source" are written once.
--
-- Labels are lower case, which is what groups and filters compare: "(direct)" = no evidence, "(none)" = no value,
-- "(not tracked)" = an order joined to nobody. Values as seen stay in campaigns.
-- Filters are arrays of LIKE patterns in lower case; null = no filter. *_in: one must match, *_out: none may.

CREATE VIEW session_facts AS
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
       CASE WHEN s.campaign_id IS NULL THEN '(direct)' ELSE coalesce(lower(c.source), '(none)') END AS source,
       coalesce(lower(c.medium), '(none)')    AS medium,
       coalesce(lower(c.campaign), '(none)')  AS campaign,
       coalesce(lower(c.content), '(none)')   AS content,
       coalesce(lower(c.term), '(none)')      AS term,
       coalesce(a.device_type, 'unknown')     AS device,
       coalesce(lower(p.country), '(none)')   AS country,
       s.campaign_id,
       s.referrer_id,
       s.landing_page_id,
       s.agent_id,
       s.place_id
FROM sessions s
LEFT JOIN campaigns c ON c.campaign_id = s.campaign_id
LEFT JOIN agents a ON a.agent_id = s.agent_id
LEFT JOIN places p ON p.place_id = s.place_id;
COMMENT ON VIEW session_facts IS 'Sessions as reports see them. bot: a score of 50 or more. bounced: one page view and no action but product views.';

CREATE FUNCTION report_sessions(
    from_at timestamptz, to_at timestamptz, site_names text[], bots text,
    source_in text[], source_out text[], medium_in text[], medium_out text[],
    campaign_in text[], campaign_out text[], content_in text[], content_out text[],
    term_in text[], term_out text[], device_in text[], device_out text[],
    country_in text[], country_out text[]
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
$$;
COMMENT ON FUNCTION report_sessions IS 'Sessions that began in [from_at, to_at) and pass the filters; from_at null = since ever. bots: exclude, include, only.';

-- One row per order and credited touch. Amounts are rounded to the currency's minor units order by order, so that
-- every sum of them agrees with every other. A credited amount is split in minor units by largest remainder (ties:
-- time of the touch, then position): the rows of an order add up to it exactly.
-- An order in another currency has no amounts (counted = false).
-- date_basis 'order': orders placed in the window, whoever placed them, unless bots = only, or a device or country is
-- asked for, which only a session has. 'session': orders of the sessions that began in the window.
-- source … term are those of the credited touch.
CREATE FUNCTION report_orders(
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
    SELECT l.site_id, l.order_id, l."position", l.credit,
           l.source, l.medium, l.campaign, l.content, l.term,
           l.counted, l.gross, l.paid, l.refunded, l.revenue,
           (l.gross_floor + CASE WHEN l.gross_turn <= l.gross_left THEN 1 ELSE 0 END) / 10::numeric ^ minor_units,
           (l.revenue_floor + CASE WHEN l.revenue_turn <= l.revenue_left THEN 1 ELSE 0 END) / 10::numeric ^ minor_units
    FROM (
        SELECT f.*,
               row_number() OVER (PARTITION BY f.site_id, f.order_id
                                  ORDER BY f.gross_share - f.gross_floor DESC, f.touch_at, f."position") AS gross_turn,
               row_number() OVER (PARTITION BY f.site_id, f.order_id
                                  ORDER BY f.revenue_share - f.revenue_floor DESC, f.touch_at, f."position") AS revenue_turn,
               f.gross * 10::numeric ^ minor_units
                   - sum(f.gross_floor) OVER (PARTITION BY f.site_id, f.order_id) AS gross_left,
               f.revenue * 10::numeric ^ minor_units
                   - sum(f.revenue_floor) OVER (PARTITION BY f.site_id, f.order_id) AS revenue_left
        FROM (
            SELECT m.*,
                   m.gross * 10::numeric ^ minor_units * m.credit / 1000000          AS gross_share,
                   floor(m.gross * 10::numeric ^ minor_units * m.credit / 1000000)   AS gross_floor,
                   m.revenue * 10::numeric ^ minor_units * m.credit / 1000000        AS revenue_share,
                   floor(m.revenue * 10::numeric ^ minor_units * m.credit / 1000000) AS revenue_floor
            FROM (
                SELECT o.site_id, o.order_id, o.session_id, k.touch_at,
                       coalesce(k."position", 1::smallint) AS "position",
                       coalesce(k.credit, 1000000) AS credit,
                       CASE WHEN k.campaign_id IS NOT NULL THEN coalesce(lower(c.source), '(none)')
                            WHEN k.order_id IS NOT NULL OR o.visitor_id IS NOT NULL THEN '(direct)'
                            ELSE '(not tracked)' END AS source,
                       coalesce(lower(c.medium), '(none)') AS medium,
                       coalesce(lower(c.campaign), '(none)') AS campaign,
                       coalesce(lower(c.content), '(none)') AS content,
                       coalesce(lower(c.term), '(none)') AS term,
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
                LEFT JOIN campaigns c ON c.campaign_id = k.campaign_id
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
            ) m
        ) f
    ) l
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
COMMENT ON FUNCTION report_orders IS 'Orders by credited touch, with amounts in the report''s currency; see the migration.';

CREATE VIEW session_details AS
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
       CASE WHEN s.campaign_id IS NULL THEN '(direct)' ELSE coalesce(lower(c.source), '(none)') END AS source,
       coalesce(lower(c.medium), '(none)')     AS medium,
       coalesce(lower(c.campaign), '(none)')   AS campaign,
       coalesce(lower(c.content), '(none)')    AS content,
       coalesce(lower(c.term), '(none)')       AS term,
       c.source                                AS utm_source,
       c.medium                                AS utm_medium,
       c.campaign                              AS utm_campaign,
       c.content                               AS utm_content,
       c.term                                  AS utm_term,
       c.utm_id,
       c.parameters,
       c.inferred,
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
       CASE WHEN s.order_count > 0 THEN coalesce(o.placed_at, s.purchase_at) END AS converted_at
FROM sessions s
LEFT JOIN sites n ON n.site_id = s.site_id
LEFT JOIN campaigns c ON c.campaign_id = s.campaign_id
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
COMMENT ON VIEW session_details IS 'Everything known of a session, for lists of a few. utm_…: as seen; source … term: labels.';

CREATE VIEW touch_details AS
SELECT t.session_id,
       t.visitor_id,
       t.evidence,
       t.at,
       t.status,
       t.flags,
       t.click_ids,
       c.source AS utm_source,
       c.medium AS utm_medium,
       c.campaign AS utm_campaign,
       c.content AS utm_content,
       c.term AS utm_term,
       c.utm_id,
       c.parameters,
       c.inferred,
       r.url  AS referrer,
       g.host AS landing_host,
       g.path AS landing_page
FROM touches t
LEFT JOIN campaigns c ON c.campaign_id = t.campaign_id
LEFT JOIN referrers r ON r.referrer_id = t.referrer_id
LEFT JOIN pages g ON g.page_id = t.page_id;
COMMENT ON VIEW touch_details IS 'Acquisition evidence with its texts as seen.';

CREATE VIEW order_details AS
SELECT o.site_id,
       coalesce(n.name, '(none)') AS site,
       o.order_id,
       o.order_number,
       o.placed_at,
       o.placed_way,
       o.paid_at,
       o.delivered_at,
       o.currency,
       o.gross::text     AS gross,
       o.paid::text      AS paid,
       o.cancelled::text AS cancelled,
       o.refunded::text  AS refunded,
       o.net::text       AS net,
       o.visitor_id,
       o.session_id,
       o.joined_by,
       o.points,
       o.computed_at
FROM orders o
LEFT JOIN sites n ON n.site_id = o.site_id;
COMMENT ON VIEW order_details IS 'Orders with the name of their site; amounts as decimal text.';
