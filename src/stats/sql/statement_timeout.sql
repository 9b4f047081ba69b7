-- How long may a statement of this transaction take?
--
-- $1 text  milliseconds
-- One row: the setting as the database has it
SELECT set_config('statement_timeout', $1, true)
