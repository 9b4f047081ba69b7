-- Fills in what was read from the text of user agents. Rows that another proxy fills in now are left to it: it writes
-- the same.
-- $1 ids, $2 device_type, $3 device_brand, $4 device_model, $5 os_name, $6 os_version, $7 browser_name,
-- $8 browser_version
WITH due AS (
    SELECT n.*
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
        AS n(agent_id, device_type, device_brand, device_model, os_name, os_version, browser_name, browser_version)
    JOIN agents a USING (agent_id)
    WHERE NOT a.is_read
    FOR UPDATE OF a SKIP LOCKED
)
UPDATE agents a SET
    device_type = d.device_type, device_brand = d.device_brand, device_model = d.device_model, os_name = d.os_name,
    os_version = d.os_version, browser_name = d.browser_name, browser_version = d.browser_version, is_read = true
FROM due d
WHERE a.agent_id = d.agent_id
