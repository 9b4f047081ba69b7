-- Judges the sessions of some hours: who behaves as no person does, and whom a rule excludes.
--
-- $1 timestamptz[] hours, $2 smallint version of the rules, $3 text[] networks whose behaviour is not judged
-- $4 bigint[], $5 text[]           rules and their networks
-- $6 bigint[], $7 bigint[]         rules and the agents they match
-- $8 bigint[], $9 bigint[], $10 boolean[]  rules, the landing pages they match, and whether only sessions of that one page
-- $11 bigint[], $12 uuid[]         rules and visitors
--
-- A function of the sessions of each hour, and of what their campaigns are labelled as, alone. Visitors minted under one
-- cookieless id are one program or one person: address, agent and domain are the same. Behaviour is not judged without an address, which would tell who is exempt.
--   1  faster than people: 30 page views or more, and more than one a second
--   2  never returns a cookie: 20 visitors or more under one id, 95 of 100 of them with a single request
--   4  opens the links of a mail at once: three or more landings from mails, by their tags, under one id within ten seconds,
--      each of a visitor of its own, not all alike; and nobody under that id returned a cookie, went on to another page or
--      fetched a file in that hour, as people do
--   8  fetches pages and no files: a first visit of three page views or more over half a minute or more, in an hour in which
--      20 such visits of the site or more were there, 90 of 100 of which fetched some. (Else files are elsewhere.)
WITH scope AS MATERIALIZED (
    SELECT s.session_id, s.session_hour, s.visitor_id, s.started_at, s.last_seen, s.page_views, s.actions, s.touch_at,
           s.landing_page_id, s.agent_id, s.address, s.behaviour_score, s.behaviour_reasons, s.behaviour_rules, s.excluded_by,
           v.minted_from, s.site_id, s.fetched_assets,
           s.session_number = 1 AND s.page_views >= 3 AND s.last_seen >= s.started_at + interval '30 seconds' AS browsed,
           s.page_views + s.actions <= 1 AND s.last_seen = s.started_at AS single,
           s.campaign_id, s.session_number,
           s.address IS NOT NULL AND NOT EXISTS (
               SELECT FROM unnest($3::text[]) AS n(network) WHERE s.address && n.network::inet) AS is_judged,
           hashint8extended(s.landing_page_id, s.touch_evidence) AS link
    FROM unnest($1::timestamptz[]) AS h(session_hour)
    CROSS JOIN LATERAL (
        SELECT x.*
        FROM sessions x
        WHERE x.session_hour = h.session_hour
          AND x.session_id >= least_session_id(h.session_hour)
          AND x.session_id < least_session_id(h.session_hour + interval '1 hour')
        OFFSET 0
    ) s
    LEFT JOIN visitors v ON v.visitor_id = s.visitor_id
), groups AS (
    SELECT s.session_hour, s.minted_from
    FROM scope s
    WHERE s.minted_from IS NOT NULL
    GROUP BY s.session_hour, s.minted_from
    HAVING count(*) >= 20 AND count(*) FILTER (WHERE s.single) * 100 >= count(*) * 95
), sites AS (
    SELECT s.session_hour, s.site_id
    FROM scope s
    WHERE s.browsed
    GROUP BY s.session_hour, s.site_id
    HAVING count(*) >= 20 AND count(*) FILTER (WHERE s.fetched_assets) * 100 >= count(*) * 90
), people AS (
    SELECT DISTINCT s.session_hour, s.minted_from
    FROM scope s
    WHERE s.minted_from IS NOT NULL AND (NOT s.single OR s.session_number > 1 OR s.fetched_assets)
), clicks AS (
    SELECT s.session_id, s.session_hour, s.visitor_id,
           count(*) OVER near >= 3 AND min(s.link) OVER near <> max(s.link) OVER near AS at_once
    FROM scope s
    JOIN campaigns m ON m.campaign_id = s.campaign_id AND m.channel = 'Email' AND m.inferred IS DISTINCT FROM 'referrer'
    WHERE s.minted_from IS NOT NULL AND s.touch_at IS NOT NULL
      AND NOT EXISTS (
          SELECT FROM people p WHERE p.session_hour = s.session_hour AND p.minted_from = s.minted_from)
    WINDOW near AS (PARTITION BY s.session_hour, s.minted_from ORDER BY s.started_at
                    RANGE BETWEEN interval '10 seconds' PRECEDING AND interval '10 seconds' FOLLOWING)
), found AS (
    SELECT s.*,
           CASE WHEN NOT s.is_judged THEN 0 ELSE
               CASE WHEN s.page_views >= 30
                         AND s.page_views > extract(epoch FROM s.last_seen - s.started_at) THEN 1 ELSE 0 END
               | CASE WHEN s.single AND g.minted_from IS NOT NULL THEN 2 ELSE 0 END
               | CASE WHEN c.at_once THEN 4 ELSE 0 END
               | CASE WHEN s.browsed AND NOT s.fetched_assets AND t.site_id IS NOT NULL THEN 8 ELSE 0 END
           END AS reasons,
           (SELECT min(r.rule) FROM (
               SELECT i.rule FROM unnest($4::bigint[], $5::text[]) AS i(rule, network)
               WHERE s.address <<= i.network::inet
               UNION ALL
               SELECT a.rule FROM unnest($6::bigint[], $7::bigint[]) AS a(rule, agent_id) WHERE a.agent_id = s.agent_id
               UNION ALL
               SELECT p.rule FROM unnest($8::bigint[], $9::bigint[], $10::boolean[]) AS p(rule, page_id, alone)
               WHERE p.page_id = s.landing_page_id AND (NOT p.alone OR s.page_views <= 1)
               UNION ALL
               SELECT v.rule FROM unnest($11::bigint[], $12::uuid[]) AS v(rule, visitor_id)
               WHERE v.visitor_id = s.visitor_id
           ) r) AS rule
    FROM scope s
    LEFT JOIN groups g ON g.session_hour = s.session_hour AND g.minted_from = s.minted_from
    LEFT JOIN sites t ON t.session_hour = s.session_hour AND t.site_id = s.site_id
    LEFT JOIN clicks c ON c.session_id = s.session_id AND c.session_hour = s.session_hour AND c.visitor_id = s.visitor_id
), judged AS (
    SELECT f.session_id, f.session_hour, f.visitor_id, f.reasons, f.rule,
           least(100, (f.reasons & 1) * 70 + (f.reasons & 2) / 2 * 60 + (f.reasons & 4) / 4 * 80
                      + (f.reasons & 8) / 8 * 50)::smallint AS score,
           CASE WHEN f.reasons = 0 THEN 0 ELSE $2::smallint END AS rules
    FROM found f
)
UPDATE sessions s
SET behaviour_score = j.score, behaviour_reasons = j.reasons, behaviour_rules = j.rules, excluded_by = j.rule
FROM judged j
WHERE s.session_id = j.session_id AND s.session_hour = j.session_hour AND s.visitor_id = j.visitor_id
  AND (s.behaviour_score, s.behaviour_reasons, s.behaviour_rules, s.excluded_by)
      IS DISTINCT FROM (j.score, j.reasons, j.rules, j.rule)
