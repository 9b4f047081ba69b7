-- How may statements of this transaction run? Reports hash some hundred thousand visitors, which must fit in memory,
-- and are too short for compiling them to pay.
--
-- $1 text  longest time of a statement, milliseconds
-- One row: the settings as the database has them
SELECT set_config('statement_timeout', $1, true), set_config('work_mem', '32MB', true), set_config('jit', 'off', true)
