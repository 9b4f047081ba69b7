-- How may the statements of an export be planned? What was done in a session is found by the session: to look besides where its time
-- is, by a bitmap, would take ten times as long.
--
-- One row: the setting as the database has it
SELECT set_config('enable_bitmapscan', 'off', true)
