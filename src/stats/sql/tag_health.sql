-- What is wrong with the tags of links, by what they say; and with links within the shop, by where they lead?
--
-- $1 timestamptz first instant of the window, null = since ever, $2 timestamptz first instant after it, $3 text[] sites, null = all
-- $4 boolean   links within the shop, too: they have no source, so that no filter knows them
-- $5 bigint    rows to give
-- $6 bigint[]  campaigns, $7 bigint[] how many sessions came by each
-- Rows, the most hits first: finding text, source, medium, campaign, content, term text (as seen), landing_host, landing_page
--          text (of links), hits bigint (sessions; of links page views by UTC day), total bigint (rows there are)
WITH used AS (
    SELECT u.campaign_id, u.hits
    FROM unnest($6::bigint[], $7::bigint[]) AS u(campaign_id, hits)
    -- What stands for the campaigns beyond a day's most is no tag.
    WHERE u.campaign_id <> 0
), tags AS (
    SELECT u.hits, c.source, c.medium, c.campaign, c.content, c.term,
           concat_ws(E'\n', c.source, c.medium, c.campaign, c.content, c.term) AS texts,
           count(*) OVER (PARTITION BY c.site_id, lower(c.source)) AS alike,
           count(*) OVER (PARTITION BY c.site_id, c.source) AS same
    FROM used u
    JOIN campaigns c ON c.campaign_id = u.campaign_id
    -- What a click id or a referrer told was no tag.
    WHERE c.inferred IS NULL OR c.campaign IS NOT NULL OR c.content IS NOT NULL OR c.term IS NOT NULL
), found AS (
    SELECT f.finding, t.source, t.medium, t.campaign, t.content, t.term, t.hits
    FROM tags t
    CROSS JOIN LATERAL (VALUES
        ('unexpanded_macro', replace(t.texts, '{email}', '') ~ '\{\{.*\}\}|\{[A-Za-z_.]+\}|%7[Bb]|\[[A-Z_]{4,}\]'),
        ('double_encoding', t.texts ~ '%[0-9A-Fa-f]{2}'),
        ('personal_data', t.texts LIKE '%{email}%'),
        ('missing_source', t.source IS NULL),
        ('missing_medium', t.source IS NOT NULL AND t.medium IS NULL),
        ('source_is_an_id', t.source ~ '^[0-9]{5,}$'),
        ('spelt_differently', t.alike <> t.same)
    ) AS f(finding, holds)
    WHERE f.holds
), findings AS (
    SELECT f.finding, f.source, f.medium, f.campaign, f.content, f.term, NULL::text AS landing_host, NULL::text AS landing_page,
           sum(f.hits)::bigint AS hits
    FROM found f
    GROUP BY f.finding, f.source, f.medium, f.campaign, f.content, f.term
    UNION ALL
    SELECT CASE l.finding WHEN 1 THEN 'tags_on_own_link' ELSE 'unknown' END, NULL, NULL, NULL, NULL, NULL, g.host, g.path,
           sum(l.hits)::bigint
    FROM link_findings l
    LEFT JOIN pages g ON g.page_id = l.page_id
    WHERE $4::boolean AND ($1::timestamptz IS NULL OR l.day >= ($1 AT TIME ZONE 'UTC')::date)
      AND l.day < $2::timestamptz AT TIME ZONE 'UTC'
      AND ($3::text[] IS NULL OR l.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($3)))
    GROUP BY l.finding, g.host, g.path
)
SELECT f.*, count(*) OVER () AS total
FROM findings f
ORDER BY f.hits DESC, f.finding, f.source, f.medium, f.campaign, f.content, f.term, f.landing_page
LIMIT $5::bigint
