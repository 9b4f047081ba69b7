-- Credits orders to the touches of the customer's browsers up to the order, within the lookback, by every attribution model;
-- without any, to nothing ("direct"). Orders joined to nobody get no row, those that have credits keep them.
-- $1 site_id, $2 order_id, $3 lookback in seconds
--
-- last: the last touch of the order's own session, direct when that had none. All others ignore direct:
-- first, last_non_direct, last_paid (the last touch of a paid medium, else the last), linear, position (40 % the first, 40 %
-- the last, the rest between them; of two half each), time_decay (half as much for each 7 days before the order).
-- Credits are millionths, split by largest remainder (ties: time of the touch, then evidence and session).
WITH affected AS MATERIALIZED (
    SELECT o.site_id, o.order_id, o.placed_at, o.visitor_id, o.session_id
    FROM (SELECT DISTINCT a.site_id, a.order_id FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id)) a
    JOIN orders o USING (site_id, order_id)
    WHERE o.visitor_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM order_credits c WHERE (c.site_id, c.order_id) = (o.site_id, o.order_id))
), touch AS (
    SELECT o.site_id, o.order_id, o.placed_at, t.session_id, t.evidence, t.at, t.campaign_id, t.referrer_id,
           row_number() OVER touched AS turn,
           count(*) OVER whole AS touches,
           row_number() OVER (whole ORDER BY t.is_own DESC, t.at DESC, t.evidence DESC,
                                             t.session_id DESC) = 1
               AND t.is_own AS ends_own,
           row_number() OVER (whole ORDER BY p.is_paid DESC, t.at DESC, t.evidence DESC, t.session_id DESC) = 1
               AS ends_paid
    FROM affected o
    CROSS JOIN LATERAL (
        -- The cookieless beginning of a session is its own, too.
        SELECT x.*, o.session_id IS NOT NULL
               AND (x.session_id = o.session_id
                    OR (x.whose = o.visitor_id AND x.visitor_id <> o.visitor_id
                        AND EXISTS (SELECT FROM session_links l
                                    WHERE l.visitor_id = o.visitor_id AND l.session_id = o.session_id))) AS is_own
        FROM touches_of_order(o.site_id, o.order_id, o.visitor_id) x
        WHERE x.at <= o.placed_at AND x.at > o.placed_at - make_interval(secs => $3::double precision)
        OFFSET 0
    ) t
    CROSS JOIN LATERAL (
        -- As GA4 tells paid media.
        SELECT EXISTS (
            SELECT FROM campaigns c
            WHERE c.campaign_id = t.campaign_id
              AND lower(c.medium) ~ '^(.*cp.*|ppc|retargeting|paid.*|display|banner|expandable|interstitial)$') AS is_paid
    ) p
    WINDOW whole AS (PARTITION BY o.site_id, o.order_id), touched AS (whole ORDER BY t.at, t.evidence, t.session_id)
), weight AS (
    SELECT t.site_id, t.order_id, t.turn, t.session_id, t.evidence, t.at, t.campaign_id, t.referrer_id, m.model, m.weight
    FROM touch t
    CROSS JOIN LATERAL (VALUES
        ('first', (t.turn = 1)::integer::numeric),
        ('last', t.ends_own::integer::numeric),
        ('last_non_direct', (t.turn = t.touches)::integer::numeric),
        ('last_paid', t.ends_paid::integer::numeric),
        ('linear', 1.0),
        ('position', CASE WHEN t.touches <= 2 THEN 1.0
                          WHEN t.turn IN (1, t.touches) THEN 0.4 * (t.touches - 2)
                          ELSE 0.2 END),
        ('time_decay', 0.5 ^ (extract(epoch FROM t.placed_at - t.at) / 604800))
    ) AS m(model, weight)
    UNION ALL
    -- What is credited when nothing else is.
    SELECT o.site_id, o.order_id, 0, NULL, NULL, NULL, NULL, NULL, m.model, 0
    FROM affected o
    CROSS JOIN unnest(ARRAY['first', 'last', 'last_non_direct', 'last_paid', 'linear', 'position', 'time_decay'])
        AS m(model)
), share AS (
    SELECT w.*,
           coalesce(1000000 * w.weight / nullif(sum(w.weight) OVER (PARTITION BY w.site_id, w.order_id, w.model), 0),
                    CASE w.turn WHEN 0 THEN 1000000 ELSE 0 END) AS share
    FROM weight w
), split AS (
    SELECT s.*,
           row_number() OVER (PARTITION BY s.site_id, s.order_id, s.model
                              ORDER BY s.share - floor(s.share) DESC, s.at, s.evidence, s.session_id)
               <= 1000000 - sum(floor(s.share)) OVER (PARTITION BY s.site_id, s.order_id, s.model) AS gets_more
    FROM share s
), credited AS (
    SELECT s.*, (floor(s.share) + s.gets_more::integer)::integer AS credit
    FROM split s
)
INSERT INTO order_credits (site_id, order_id, model, position, session_id, evidence, touch_at, campaign_id,
                           referrer_id, credit)
SELECT n.site_id, n.order_id, n.model, n.position, n.session_id, n.evidence, n.at, n.campaign_id, n.referrer_id, n.credit
FROM (
    SELECT c.site_id, c.order_id, c.model,
           row_number() OVER (PARTITION BY c.site_id, c.order_id, c.model ORDER BY c.turn) AS position,
           c.session_id, c.evidence, c.at, c.campaign_id, c.referrer_id, c.credit
    FROM credited c
    WHERE c.credit > 0
) n
