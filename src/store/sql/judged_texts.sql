-- What of some hours' sessions do exclusions look at? Each agent and landing page once.
-- $1 hours
-- → agent_id, user_agent of an agent; or page_id, host, path, and path without language of a page
WITH scope AS (
    SELECT s.agent_id, s.landing_page_id
    FROM unnest($1::timestamptz[]) AS h(session_hour)
    CROSS JOIN LATERAL (
        SELECT x.agent_id, x.landing_page_id
        FROM sessions x
        WHERE x.session_hour = h.session_hour
          AND x.session_id >= least_session_id(h.session_hour)
          AND x.session_id < least_session_id(h.session_hour + interval '1 hour')
        OFFSET 0
    ) s
)
SELECT a.agent_id, a.user_agent, NULL::bigint AS page_id, NULL::text AS host, NULL::text AS path, NULL::text AS bare_path
FROM agents a WHERE a.agent_id IN (SELECT s.agent_id FROM scope s)
UNION ALL
SELECT NULL, NULL, p.page_id, p.host, p.path,
       coalesce(substr(p.path, length(p.locale) + 2), p.path)
FROM pages p WHERE p.page_id IN (SELECT s.landing_page_id FROM scope s)
