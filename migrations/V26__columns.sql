-- Sessions column by column: what reports read in place of the sessions themselves.
--
-- A report over a month looked at half a million rows of some 300 bytes, joined each to what it names, and counted people by
-- sorting their ids: seconds. A day of sessions is here one row, whose columns have one number of every session each, packed: a
-- report reads the few columns that it asks for, some bytes a session, and adds up in the program, whatever is filtered.
--
-- The rule is that of V5: an hour without a mark in dirty_hours is told rightly by the row of its day, in which each session
-- says its hour; hours with a mark are read from the sessions. src/store/columns.rs packs and reads them; it is the office that
-- writes (src/store/rollups.rs), in the transaction that deletes the marks. Rows go with the month of their sessions: what was
-- dropped is told by session_days and session_quarters.

CREATE TABLE session_columns (
    session_day   timestamptz PRIMARY KEY,       -- UTC day of session_hour
    sessions      integer     NOT NULL,
    first_start   timestamptz NOT NULL,          -- least and greatest started_at
    last_start    timestamptz NOT NULL,
    hours         bytea       NOT NULL,          -- session_hour, from 0
    starts        bytea       NOT NULL,          -- started_at, microseconds from session_day
    visitors      bytea       NOT NULL,          -- the first eight bytes of SHA-256 of the visitor id
    sketches      bytea       NOT NULL,          -- sketch_code() of it
    numbers       bytea       NOT NULL,          -- session_number, 255 at most
    flags         bytea       NOT NULL,          -- 1 bot, 2 bounced, 4 converted, 8 lead, 16 registration
    page_views    bytea       NOT NULL,
    milliseconds  bytea       NOT NULL,          -- from the first to the last activity, 0 of bounces
    points        bytea       NOT NULL,
    sites         bytea       NOT NULL,          -- ids: those of the day, and which of them each session has
    campaigns     bytea       NOT NULL,
    agents        bytea       NOT NULL,
    places        bytea       NOT NULL,
    referrers     bytea       NOT NULL,
    landing_pages bytea       NOT NULL
);
COMMENT ON TABLE session_columns IS 'The sessions of a day that reports count, each column packed. Right for hours without a mark in dirty_hours.';

-- They are packed already: nothing is to be gained, and time to be lost.
ALTER TABLE session_columns
    ALTER hours SET STORAGE EXTERNAL, ALTER starts SET STORAGE EXTERNAL, ALTER visitors SET STORAGE EXTERNAL,
    ALTER sketches SET STORAGE EXTERNAL, ALTER numbers SET STORAGE EXTERNAL, ALTER flags SET STORAGE EXTERNAL,
    ALTER page_views SET STORAGE EXTERNAL, ALTER milliseconds SET STORAGE EXTERNAL, ALTER points SET STORAGE EXTERNAL,
    ALTER sites SET STORAGE EXTERNAL, ALTER campaigns SET STORAGE EXTERNAL, ALTER agents SET STORAGE EXTERNAL,
    ALTER places SET STORAGE EXTERNAL, ALTER referrers SET STORAGE EXTERNAL, ALTER landing_pages SET STORAGE EXTERNAL;

-- The past: all hours of each day that has sessions, as in V5. The office packs them beside its work.
WITH RECURSIVE days(day) AS (
    (SELECT day_of(s.session_hour) FROM sessions s ORDER BY s.session_id LIMIT 1)
    UNION ALL
    SELECT n.day
    FROM days d
    CROSS JOIN LATERAL (
        SELECT day_of(s.session_hour) AS day
        FROM sessions s
        WHERE s.session_id >= least_session_id(d.day + interval '24 hours')
        ORDER BY s.session_id
        LIMIT 1
    ) n
    WHERE n.day > d.day
)
INSERT INTO dirty_hours
SELECT d.day + h.hours * interval '1 hour'
FROM days d
CROSS JOIN generate_series(0, 23) AS h(hours);
