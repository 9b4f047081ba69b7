-- How may the statements of a page be planned? Joined as they are written: to weigh every other order takes longer than to run them.
--
-- One row: the setting as the database has it
SELECT set_config('join_collapse_limit', '1', true)
