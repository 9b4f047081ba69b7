-- Partitions that lie before their horizon, the oldest first.
-- → parent, month
SELECT p.parent, p.month
FROM fact_partitions p JOIN retention_horizons h USING (kind)
WHERE p.ends_at <= h.horizon
ORDER BY p.month, p.parent
