-- The newest record that is set aside.
-- → id, 0 when there is none
SELECT coalesce(max(quarantine_id), 0) AS id FROM quarantine
