-- Sessions $from … $to − 1 of `history.sessions`, with everything that hangs on them. Settings: history.first, history.after,
-- history.sessions, history.now.
SET TIME ZONE 'UTC';
SET synchronous_commit = off;
SET max_parallel_workers_per_gather = 0;
SET jit = off;

-- 1.4 sessions a visitor, in a hundred of whom one comes often; 45 % bounce, 55 % come by a link, 4 % are flagged as bots',
-- 3 % buy.
CREATE TEMP TABLE seed AS
SELECT f.*, date_bin('1 hour', f.at, '2000-01-01Z') AS hour,
       history.id(date_bin('1 hour', f.at, '2000-01-01Z'), 's' || f.i) AS session_id,
       history.id(history.begin_of(f.person, f.sessions, f.now), 'v' || f.person) AS visitor_id,
       f.at + CASE WHEN f.views = 1 AND NOT f.buys THEN interval '0' ELSE f.views * interval '43 seconds' END AS last_at
FROM (
    SELECT i, p.sessions, p.now, history.begin_of(i, p.sessions, p.now) AS at,
           CASE WHEN i % 10 < 7 THEN i ELSE r.earlier - greatest(r.earlier % 10 - 6, 0) END AS person,
           CASE WHEN history.chance(i, 12) < 0.45 THEN 1 ELSE 2 + floor(11 * history.chance(i, 13)) END::integer AS views,
           CASE WHEN history.chance(i, 14) < 0.55 THEN history.one_of(2000, i, 15) END AS campaign_id,
           CASE WHEN history.chance(i, 16) < 0.04 THEN 60 ELSE 0 END AS bot_score,
           CASE WHEN history.chance(i, 17) < 0.1 THEN 2 ELSE 1 END AS site_id,
           history.chance(i, 18) < 0.03 AS buys
    FROM (SELECT current_setting('history.sessions')::bigint AS sessions, current_setting('history.now')::timestamptz AS now OFFSET 0) p
    CROSS JOIN generate_series(current_setting('history.first')::bigint, current_setting('history.after')::bigint - 1) AS i
    CROSS JOIN LATERAL (SELECT i - floor(least(i, p.sessions / 8) * history.chance(i, 11) ^ 3)::bigint AS earlier OFFSET 0) r
    OFFSET 0
) f
ORDER BY f.at;

INSERT INTO visitors (visitor_id, site_id, identity, first_seen, last_seen, first_touch_at, first_evidence, first_campaign_id)
SELECT s.visitor_id, s.site_id, 1, s.at, s.at, CASE WHEN s.campaign_id IS NOT NULL THEN s.at END,
       CASE WHEN s.campaign_id IS NOT NULL THEN s.i END, s.campaign_id
FROM seed s
WHERE s.person = s.i;

INSERT INTO sessions (session_id, visitor_id, session_hour, started_at, last_seen, entry_at, entry_hash, landing_page_id, agent_id,
                      place_id, touch_at, touch_evidence, campaign_id, referrer_id, product_view_at, add_to_cart_at,
                      initiate_checkout_at, lead_at, purchase_at, site_id, session_number, page_views, actions, score,
                      bot_reasons, order_count, order_points, identity, entry_rank, bot_score, address)
SELECT s.session_id, s.visitor_id, s.hour, s.at, s.last_at, s.at, s.i, history.one_of(5000, s.i, 20), history.one_of(400, s.i, 21),
       history.one_of(300, s.i, 22), t.at, t.evidence, s.campaign_id,
       CASE WHEN t.at IS NOT NULL AND history.chance(s.i, 23) < 0.5 THEN history.one_of(1000, s.i, 24) END,
       CASE WHEN s.views > 1 THEN s.at + interval '43 seconds' END,
       CASE WHEN s.buys OR s.views > 9 THEN s.at + interval '80 seconds' END,
       CASE WHEN s.buys OR s.views > 11 THEN s.at + interval '81 seconds' END,
       CASE WHEN s.i % 97 = 0 THEN s.last_at END, CASE WHEN s.buys THEN s.last_at END, s.site_id,
       CASE WHEN s.person = s.i THEN 1 ELSE 2 + floor(-2 * ln(1 - history.chance(s.i, 25))) END, s.views,
       (s.buys OR s.views > 9)::integer + (s.buys OR s.views > 11)::integer + s.buys::integer + (s.i % 97 = 0)::integer,
       s.views * 2, 0, s.buys::integer, CASE WHEN s.buys THEN 114 ELSE 0 END, 1, 0, s.bot_score, '203.0.113.0'
FROM seed s
LEFT JOIN LATERAL (SELECT s.at, s.i AS evidence WHERE s.campaign_id IS NOT NULL) t ON true;

INSERT INTO touches (session_id, visitor_id, session_hour, evidence, at, hash, campaign_id, page_id, site_id, flags, status, click_ids)
SELECT s.session_id, s.visitor_id, s.hour, s.i, s.at, s.i, s.campaign_id, history.one_of(5000, s.i, 20), s.site_id, 0, 200,
       CASE WHEN s.i % 3 = 0 THEN jsonb_build_object('gclid', 'EAIaIQobChMI' || s.i) END
FROM seed s
WHERE s.campaign_id IS NOT NULL;

INSERT INTO events (session_id, visitor_id, at, page_id, product_key, site_id, kind_id, points, status, order_id)
SELECT s.session_id, s.visitor_id, s.at + e.seconds * interval '1 second', history.one_of(5000, s.i * 100 + e.seconds, 20),
       CASE WHEN e.kind_id IN (2, 3) THEN history.one_of(3000, s.i * 100 + e.kind_id, 26) END, s.site_id, e.kind_id, 1, 200,
       CASE WHEN e.kind_id = 6 THEN 'o' || s.i END
FROM seed s
CROSS JOIN LATERAL (
    SELECT 1 AS kind_id, 43 * n AS seconds FROM generate_series(0, s.views - 1) AS n
    UNION ALL
    SELECT 2, 43 WHERE s.views > 1
    UNION ALL
    SELECT 3, 80 WHERE s.buys OR s.views > 9
    UNION ALL
    SELECT 4, 81 WHERE s.buys OR s.views > 11
    UNION ALL
    SELECT 5, extract(epoch FROM s.last_at - s.at)::integer WHERE s.i % 97 = 0
    UNION ALL
    SELECT 6, extract(epoch FROM s.last_at - s.at)::integer WHERE s.buys
) e;

-- A tenth of the orders is refunded, whole or in part; four in five are paid. One in twenty is nobody's.
CREATE TEMP TABLE bought AS
SELECT s.*, 'o' || s.i AS order_id, round((50 + 3000 * history.chance(s.i, 30) ^ 2)::numeric, 2) AS gross,
       history.chance(s.i, 31) < 0.8 AS is_paid, history.chance(s.i, 32) AS luck, history.chance(s.i, 33) >= 0.05 AS is_known,
       sha256(int8send(history.one_of(200000, s.i, 34))) AS phone
FROM seed s
WHERE s.buys;

INSERT INTO order_entries (site_id, order_id, kind, reference, way, at, received_at, hash, value, currency, visitor_id, session_id,
                           by_cookie, phone, items)
SELECT b.site_id, b.order_id, e.kind, e.reference, e.way, b.last_at + e.later, b.last_at + e.later, b.i, e.value, 'UAH',
       CASE WHEN e.way = 2 THEN b.visitor_id END, CASE WHEN e.way = 2 THEN b.session_id END, e.way = 2,
       CASE WHEN e.way = 4 AND e.kind = 1 THEN substr(b.phone, 1, 16) END,
       CASE WHEN e.way = 4 AND e.kind = 1 THEN jsonb_build_array(jsonb_build_object(
           'product_id', 'p' || history.one_of(3000, b.i, 35), 'quantity', '1', 'price', b.gross::text)) END
FROM bought b
CROSS JOIN LATERAL (
    SELECT 1::smallint AS kind, '' AS reference, 2::smallint AS way, interval '0' AS later, b.gross AS value WHERE b.is_known
    UNION ALL
    SELECT 1, '', 4, interval '1 minute', b.gross WHERE b.i % 5 < 3 OR NOT b.is_known
    UNION ALL
    SELECT 2, 'p', 4, interval '1 day' * b.luck * 9, b.gross WHERE b.is_paid
    UNION ALL
    SELECT 4, 'r', 4, interval '12 days', round(b.gross * CASE WHEN b.luck < 0.05 THEN 1 ELSE 0.4 END, 2) WHERE b.luck < 0.1
) e;

INSERT INTO orders (site_id, order_id, placed_at, placed_way, paid_at, currency, gross, paid, cancelled, refunded, net, visitor_id,
                    session_id, joined_by, points)
SELECT b.site_id, b.order_id, b.last_at, 4, CASE WHEN b.is_paid THEN b.last_at END, 'UAH', b.gross,
       CASE WHEN b.is_paid THEN b.gross ELSE 0 END, 0, r.refunded, b.gross - r.refunded,
       CASE WHEN b.is_known THEN b.visitor_id END, CASE WHEN b.is_known THEN b.session_id END,
       CASE WHEN b.is_known THEN 'cookie' END, 114
FROM bought b
CROSS JOIN LATERAL (
    SELECT CASE WHEN b.luck < 0.05 THEN b.gross WHEN b.luck < 0.1 THEN round(b.gross * 0.4, 2) ELSE 0 END AS refunded) r;

-- The touch of its session, and of every other order one or two before it.
INSERT INTO order_credits (site_id, order_id, model, "position", session_id, evidence, touch_at, campaign_id, credit)
SELECT b.site_id, b.order_id, m.model, row_number() OVER (PARTITION BY b.i, m.model ORDER BY t.turn DESC), b.session_id,
       CASE WHEN t.campaign_id IS NOT NULL THEN b.i + t.turn END,
       CASE WHEN t.campaign_id IS NOT NULL THEN b.at - t.turn * interval '3 days' END, t.campaign_id,
       1000000 / m.touches + CASE WHEN t.turn = 0 THEN 1000000 % m.touches ELSE 0 END
FROM bought b
CROSS JOIN LATERAL (
    SELECT x.model, CASE WHEN x.is_shared AND b.campaign_id IS NOT NULL THEN 1 + b.i % 2 + b.i % 6 / 5 ELSE 1 END::integer AS touches
    FROM (VALUES ('first', false), ('last', false), ('last_non_direct', false), ('last_paid', false), ('linear', true),
                 ('position', true), ('time_decay', true)) AS x(model, is_shared)
) m
CROSS JOIN LATERAL (
    SELECT n AS turn, CASE n WHEN 0 THEN b.campaign_id ELSE history.one_of(2000, b.i + n, 36) END AS campaign_id
    FROM generate_series(0, m.touches - 1) AS n
) t
WHERE b.is_known;

INSERT INTO bot_hits (hour, site_id, reasons, hits, bot)
SELECT s.hour, 1, 1, count(*), 'Googlebot' FROM seed s GROUP BY s.hour
ON CONFLICT (hour, site_id, bot, reasons) DO UPDATE SET hits = bot_hits.hits + excluded.hits;

DROP TABLE seed, bought;
