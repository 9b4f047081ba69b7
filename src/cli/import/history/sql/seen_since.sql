-- Since when has the proxy itself seen sessions of a site, and from when on are facts stored?
-- $1 name of the site
-- → since, null when it has seen none; horizon, null where there is none
SELECT (SELECT min(s.started_at) FROM sessions s JOIN sites n USING (site_id)
        WHERE n.name = $1::text AND s.identity IN (1, 2)) AS since,
       (SELECT max(h.horizon) FROM retention_horizons h WHERE h.kind IN ('events', 'sessions')) AS horizon
