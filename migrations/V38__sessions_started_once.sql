-- The index in place of which V37 made another.

DROP INDEX sessions_started;
