-- What facts name: two shops, 2,000 campaigns of 14 sources, pages, agents, places, referrers, products; few of each are used
-- much. Ids are small numbers, which no hash is.
INSERT INTO sites VALUES (1, 'default'), (2, 'second');

INSERT INTO action_kinds
SELECT k.number, k.name
FROM unnest(ARRAY['page_view', 'product_view', 'add_to_cart', 'initiate_checkout', 'lead', 'purchase'])
     WITH ORDINALITY AS k(name, number);

INSERT INTO campaigns (campaign_id, site_id, source, medium, campaign, content, term, label_source, channel, inferred)
SELECT i, 1, s.source, s.medium, CASE WHEN s.inferred IS NULL THEN 'campaign ' || i / 4 END,
       CASE WHEN s.inferred IS NULL THEN (ARRAY['red', 'blue', 'video', 'carousel'])[1 + i % 4] END, NULL,
       lower(s.source), s.channel, s.inferred
FROM generate_series(1, 2000) AS i
JOIN (VALUES (0, 'google', 'cpc', 'Paid Search', NULL), (1, 'facebook', 'paid_social', 'Paid Social', NULL),
             (2, 'google', 'organic', 'Organic Search', 'referrer'), (3, 'instagram', 'paid_social', 'Paid Social', NULL),
             (4, 'newsletter', 'email', 'Email', NULL), (5, 'tiktok', 'cpc', 'Paid Social', NULL),
             (6, 'bing', 'cpc', 'Paid Search', NULL), (7, 'partner', 'affiliate', 'Affiliates', NULL),
             (8, 'youtube', 'video', 'Organic Video', NULL), (9, 'telegram', 'social', 'Organic Social', NULL),
             (10, 'chatgpt', 'ai', 'AI Assistants', 'referrer'), (11, 'blog.example', 'referral', 'Referral', 'referrer'),
             (12, 'pinterest', 'social', 'Organic Social', NULL), (13, 'sms', 'sms', 'SMS', NULL))
     AS s(number, source, medium, channel, inferred) ON s.number = i % 14;

INSERT INTO pages (page_id, site_id, host, path)
SELECT i, 1, 'shop.example', '/goods/' || i FROM generate_series(1, 5000) AS i;

INSERT INTO agents (agent_id, user_agent, device_type, device_brand, os_name, os_version, browser_name, browser_version)
SELECT i, 'Agent ' || i, (ARRAY['mobile', 'desktop', 'mobile', 'tablet'])[1 + i % 4], (ARRAY['Apple', 'Samsung', 'Xiaomi'])[1 + i % 3],
       (ARRAY['iOS', 'Windows', 'Android', 'Android'])[1 + i % 4], (10 + i % 9)::text,
       (ARRAY['Chrome', 'Safari', 'Firefox'])[1 + i % 3], (100 + i % 30) || '.0.0'
FROM generate_series(1, 400) AS i;

INSERT INTO places (place_id, country, country_name, region, city)
SELECT i, (ARRAY['UA', 'PL', 'DE', 'US'])[1 + i % 4], (ARRAY['Ukraine', 'Poland', 'Germany', 'United States'])[1 + i % 4],
       'Region ' || i / 10, 'City ' || i
FROM generate_series(1, 300) AS i;

INSERT INTO referrers (referrer_id, site_id, host, url)
SELECT i, 1, 'host' || i / 2 || '.example', 'https://host' || i / 2 || '.example/' || i FROM generate_series(1, 1000) AS i;

INSERT INTO products (product_key, site_id, product_id, name)
SELECT i, 1, 'p' || i, 'Product ' || i FROM generate_series(1, 3000) AS i;

CREATE SCHEMA history;

-- A number from 0 to 1 of thing `i`, always the same; `what` tells several of one thing apart.
CREATE FUNCTION history.chance(i bigint, what integer) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (hashint8extended(i, what) & 1073741823) / 1073741824.0::double precision
$$;

-- One of `many`: the first often, the last seldom.
CREATE FUNCTION history.one_of(many integer, i bigint, what integer) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(many, floor(exp(history.chance(i, what) * ln(many + 1.0::double precision))))::bigint
$$;

CREATE FUNCTION history.day_of(i bigint, sessions bigint) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT floor(730 * (sqrt(1 + 3 * (i + 0.5::double precision) / sessions) - 1))
$$;

-- When session `i` of so many began, in the two years before `to_at`: in the afternoon rather than at night, on four days of a
-- week rather than on the other three, and twice as many at the end as at the beginning. What would be later began a week before.
CREATE FUNCTION history.begin_of(i bigint, sessions bigint, to_at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT b.at - CASE WHEN b.at >= to_at THEN interval '7 days' ELSE interval '0' END
    FROM (SELECT to_at + interval '24 hours'
                 * (history.day_of(i, sessions) - 730 + 0.15 + 0.4 * (history.chance(i, 2) + history.chance(i, 3))
                    + CASE WHEN history.day_of(i, sessions)::integer % 7 >= 4 AND history.chance(i, 1) < 0.3 THEN 3 ELSE 0 END) AS at
          OFFSET 0) b
$$;

CREATE FUNCTION history.id(at timestamptz, random text) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || substr(md5(random), 13))::uuid
$$;
