-- Notes the time on the database's clock, and says since when it has been watched without a jump. More than an hour
-- back, or a week ahead, is a jump, or a pause that may hide one.
-- → steady: for a week, begins_anew: just now
WITH noted AS (
    INSERT INTO upkeep_clock AS c (seen_at, steady_since) VALUES (now(), now())
    ON CONFLICT (single) DO UPDATE SET
        seen_at = now(),
        steady_since = CASE WHEN now() - c.seen_at BETWEEN interval '-1 hour' AND interval '7 days'
                            THEN c.steady_since ELSE now() END
    RETURNING steady_since
)
SELECT now() - n.steady_since >= interval '7 days' AS steady, n.steady_since = now() AS begins_anew FROM noted n
