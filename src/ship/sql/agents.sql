-- Adds rows of agents, as many of the new ones as the day's cap allows, by id.
-- $1 ids, $2 hits that name them, $3 user_agent, $4 device_type, $5 device_brand, $6 device_model, $7
-- os_name, $8 os_version, $9 browser_name, $10 browser_version, $11 cap
-- → id, site_id, uses, allowed, added (by nobody else meanwhile): one row for each that is new
WITH candidate AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::text[], $9::text[], $10::text[])
        AS c(id, uses, user_agent, device_type, device_brand, device_model, os_name, os_version, browser_name,
            browser_version)
), fresh AS (
    SELECT c.*, row_number() OVER (ORDER BY c.id) AS rank
    FROM candidate c
    WHERE NOT EXISTS (SELECT FROM agents d WHERE d.agent_id = c.id)
), allowance AS (
    SELECT c.*, c.rank <= $11::bigint - coalesce((
        SELECT g.added FROM dictionary_growth g
        WHERE g.day = (now() AT TIME ZONE 'UTC')::date AND g.kind = 'agent' AND g.site_id = 0), 0) AS allowed
    FROM fresh c
), written AS (
    INSERT INTO agents (agent_id, user_agent, device_type, device_brand, device_model, os_name, os_version,
        browser_name, browser_version)
    SELECT a.id, a.user_agent, a.device_type, a.device_brand, a.device_model, a.os_name, a.os_version,
        a.browser_name, a.browser_version
    FROM allowance a WHERE a.allowed ORDER BY a.id
    ON CONFLICT DO NOTHING
    RETURNING agent_id
)
SELECT a.id, 0 AS site_id, a.uses, a.allowed, w.agent_id IS NOT NULL AS added
FROM allowance a LEFT JOIN written w ON w.agent_id = a.id
