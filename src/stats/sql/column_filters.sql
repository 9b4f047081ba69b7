-- Which ids pass the filters that hang on them?
--
-- $1 text[] sites, null = all, $2–$17 filters as report_sessions() takes them
-- Rows: field text, 'site', 'campaign', 'agent' or 'place', of those only that are filtered by, and with 'campaign' also 'untracked',
--       an order of which nobody knows where it came from; id bigint; is_none, passes boolean.
--       Of each: without an id, what a session has that has none (is_none), and one whose id is in no dictionary; and the ids
--       that pass where the latter does not, or the other way round.
SELECT x.field, x.id, x.is_none, x.passes
FROM (
    SELECT l.*, bool_or(l.passes) FILTER (WHERE l.id IS NULL AND NOT l.is_none) OVER (PARTITION BY l.field) AS unknown
    FROM (
        SELECT 'site' AS field, v.id, v.is_none, coalesce(v.name = ANY ($1::text[]), false) AS passes
        FROM (
            SELECT n.site_id::bigint AS id, false AS is_none, n.name FROM sites n
            UNION ALL VALUES (NULL::bigint, true, NULL::text), (NULL, false, NULL)
        ) v
        WHERE $1 IS NOT NULL
        UNION ALL
        SELECT v.field, v.id, v.is_none,
               ($2::text[] IS NULL OR v.source LIKE ANY ($2)) AND ($3::text[] IS NULL OR v.source NOT LIKE ALL ($3))
               AND ($4::text[] IS NULL OR v.medium LIKE ANY ($4)) AND ($5::text[] IS NULL OR v.medium NOT LIKE ALL ($5))
               AND ($6::text[] IS NULL OR v.campaign LIKE ANY ($6)) AND ($7::text[] IS NULL OR v.campaign NOT LIKE ALL ($7))
               AND ($8::text[] IS NULL OR v.content LIKE ANY ($8)) AND ($9::text[] IS NULL OR v.content NOT LIKE ALL ($9))
               AND ($10::text[] IS NULL OR v.term LIKE ANY ($10)) AND ($11::text[] IS NULL OR v.term NOT LIKE ALL ($11))
               AND ($16::text[] IS NULL OR lower(v.channel) LIKE ANY ($16))
               AND ($17::text[] IS NULL OR lower(v.channel) NOT LIKE ALL ($17))
        FROM (
            SELECT 'campaign' AS field, c.campaign_id AS id, false AS is_none, coalesce(c.source, '(none)') AS source,
                   coalesce(c.medium, '(none)') AS medium, coalesce(c.campaign, '(none)') AS campaign,
                   coalesce(c.content, '(none)') AS content, coalesce(c.term, '(none)') AS term,
                   coalesce(c.channel, 'Unassigned') AS channel
            FROM campaign_labels c
            UNION ALL VALUES ('campaign', NULL::bigint, true, '(direct)', '(none)', '(none)', '(none)', '(none)', 'Direct'),
                             ('untracked', NULL, true, '(not tracked)', '(none)', '(none)', '(none)', '(none)', '(not tracked)'),
                             ('campaign', NULL, false, '(none)', '(none)', '(none)', '(none)', '(none)', 'Unassigned')
        ) v
        WHERE num_nonnulls($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $16, $17) > 0
        UNION ALL
        SELECT 'agent', v.id, v.is_none,
               ($12::text[] IS NULL OR v.device LIKE ANY ($12)) AND ($13::text[] IS NULL OR v.device NOT LIKE ALL ($13))
        FROM (
            SELECT a.agent_id AS id, false AS is_none, coalesce(a.device_type, 'unknown') AS device FROM agents a
            UNION ALL VALUES (NULL::bigint, true, 'unknown'), (NULL, false, 'unknown')
        ) v
        WHERE num_nonnulls($12, $13) > 0
        UNION ALL
        SELECT 'place', v.id, v.is_none,
               ($14::text[] IS NULL OR v.country LIKE ANY ($14)) AND ($15::text[] IS NULL OR v.country NOT LIKE ALL ($15))
        FROM (
            SELECT p.place_id AS id, false AS is_none, coalesce(lower(p.country), '(none)') AS country FROM places p
            UNION ALL VALUES (NULL::bigint, true, '(none)'), (NULL, false, '(none)')
        ) v
        WHERE num_nonnulls($14, $15) > 0
    ) l
) x
WHERE x.id IS NULL OR x.passes <> x.unknown
