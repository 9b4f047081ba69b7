-- Whether anything was ever migrated here.
-- → present
SELECT to_regclass('refinery_schema_history') IS NOT NULL AS present
