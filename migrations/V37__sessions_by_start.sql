-- Sessions by their start take half the room in an index.
--
-- Lists of sessions are ordered by started_at and session_id, and the index that gives them in this order had both. Few sessions start
-- in the same millisecond: read in the order of started_at alone, those few are sorted on the way, also for binaries of before.
-- V38 drops the other index, in a transaction of its own: so reports go on while this one is made, and only writers wait.

CREATE INDEX sessions_started_at ON sessions (started_at);
