-- Sessions of the sixty days before 2026-11-22T10:00Z, as many as `preload.sessions` says: 1.3 a visitor, 30 % tagged,
-- one in fifty with an order. Page views and cookies are not laid down: their indexes grow at the end only.
SET max_parallel_workers_per_gather = 0;
SET TIME ZONE 'UTC';

CREATE TEMP TABLE seed AS
SELECT i,
       at,
       to_timestamp(floor(extract(epoch FROM at) / 3600) * 3600) AS hour,
       md5('session ' || i)                                      AS random,
       CASE WHEN i % 13 < 10 THEN i ELSE ((i * 7919) % (i / 13 + 1)) * 13 + i % 10 END AS first
FROM generate_series(0, current_setting('preload.sessions')::bigint - 1) AS i
CROSS JOIN LATERAL (SELECT timestamptz '2026-11-22T10:00Z' - interval '60 days'
                           + i * (interval '60 days' / current_setting('preload.sessions')::float8)) AS t(at);

CREATE FUNCTION pg_temp.id(at timestamptz, random text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || substr(random, 13))::uuid
$$;

CREATE FUNCTION pg_temp.visitor(first bigint) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT pg_temp.id(timestamptz '2026-11-22T10:00Z' - interval '60 days'
                      + first * (interval '60 days' / current_setting('preload.sessions')::float8), md5('visitor ' || first))
$$;

INSERT INTO visitors (visitor_id, site_id, identity, first_seen, last_seen)
SELECT pg_temp.visitor(i), 1728390920, 1, at, at + interval '2 minutes' FROM seed WHERE i = first;

INSERT INTO sessions (session_id, visitor_id, session_hour, started_at, last_seen, entry_at, entry_hash, landing_page_id,
                      agent_id, touch_at, touch_evidence, campaign_id, site_id, session_number, page_views, actions, score,
                      bot_reasons, identity, entry_rank, bot_score, address)
SELECT pg_temp.id(hour, random), pg_temp.visitor(first), hour, at, at + interval '2 minutes', at, i, i % 2000, i % 200,
       CASE WHEN i % 10 < 3 THEN at END, CASE WHEN i % 10 < 3 THEN i END, CASE WHEN i % 10 < 3 THEN i % 150 END,
       1728390920, 1, 4, 0, 4, 0, 1, 0, 0, '203.0.113.0'
FROM seed;

INSERT INTO touches (session_id, visitor_id, session_hour, evidence, at, hash, campaign_id, page_id, site_id, flags, status,
                     click_ids)
SELECT pg_temp.id(hour, random), pg_temp.visitor(first), hour, i, at, i, i % 150, i % 2000, 1728390920, 0, 200,
       jsonb_build_object('gclid', 'EAIaIQobChMI' || lpad(i::text, 48, '0'))
FROM seed WHERE i % 10 < 3;

INSERT INTO order_entries (site_id, order_id, kind, reference, way, at, received_at, value, visitor_id, session_id, hash,
                           by_cookie)
SELECT 1728390920, 'old-' || i, 1, '', 2, at, at, 1499, pg_temp.visitor(first), pg_temp.id(hour, random), i, true
FROM seed WHERE i % 50 = 0;

INSERT INTO orders (site_id, order_id, placed_at, placed_way, gross, paid, cancelled, refunded, net, visitor_id, session_id,
                    joined_by, points)
SELECT 1728390920, 'old-' || i, at, 2, 1499, 0, 0, 0, 1499, pg_temp.visitor(first), pg_temp.id(hour, random), 'cookie', 114
FROM seed WHERE i % 50 = 0;

DROP TABLE seed;
