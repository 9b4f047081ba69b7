-- The newest migration that was applied.
-- → version (0 = none)
SELECT coalesce(max(version), 0)::bigint AS version FROM refinery_schema_history
