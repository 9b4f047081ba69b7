-- Adds rows of agents, still to be read, as many of the new ones as the day's cap allows, by id.
-- $1 ids, $2 hits that name them, $3 user_agent, $4 client_hints, $5 cap
-- → id, site_id, uses, allowed, added (by nobody else meanwhile): one row for each that is new
WITH candidate AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS c(id, uses, user_agent, client_hints)
), fresh AS (
    SELECT c.*, row_number() OVER (ORDER BY c.id) AS rank
    FROM candidate c
    WHERE NOT EXISTS (SELECT FROM agents d WHERE d.agent_id = c.id)
), allowance AS (
    SELECT c.*, c.rank <= $5::bigint - coalesce((
        SELECT g.added FROM dictionary_growth g
        WHERE g.day = (now() AT TIME ZONE 'UTC')::date AND g.kind = 'agent' AND g.site_id = 0), 0) AS allowed
    FROM fresh c
), written AS (
    INSERT INTO agents (agent_id, user_agent, client_hints, device_type, is_read)
    SELECT a.id, a.user_agent, a.client_hints, 'unknown', false
    FROM allowance a WHERE a.allowed ORDER BY a.id
    ON CONFLICT DO NOTHING
    RETURNING agent_id
)
SELECT a.id, 0 AS site_id, a.uses, a.allowed, w.agent_id IS NOT NULL AS added
FROM allowance a LEFT JOIN written w ON w.agent_id = a.id
