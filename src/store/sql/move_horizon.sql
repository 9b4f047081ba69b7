-- Moves a horizon, never back.
-- $1 kind, $2 horizon
INSERT INTO retention_horizons AS h (kind, horizon) VALUES ($1::text, $2::timestamptz)
ON CONFLICT (kind) DO UPDATE SET horizon = excluded.horizon, moved_at = now()
WHERE excluded.horizon > h.horizon
