-- Writes a day.
-- $1 session_day, $2 how many sessions, $3 first and $4 last start, $5–$28 columns in the order of the list
INSERT INTO session_columns (
    session_day, sessions, first_start, last_start, hours, starts, visitors, sketches, numbers, flags, page_views, milliseconds,
    points, begins, lasts, actions, views, sites, campaigns, agents, places, referrers, landing_pages, kinds, times, products,
    view_times, buyers)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27,
        $28)
