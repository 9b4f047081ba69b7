-- The time before which no facts are stored.
-- → horizon, null where there is none
SELECT max(h.horizon) AS horizon FROM retention_horizons h WHERE h.kind IN ('events', 'sessions')
