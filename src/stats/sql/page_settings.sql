-- How may the statements of a page be planned? They are about few rows, and joined as they are written: to weigh every other order, or
-- to read all names for some of them, takes longer.
--
-- One row: the settings as the database has them
SELECT set_config('join_collapse_limit', '1', true), set_config('random_page_cost', '1.1', true)
