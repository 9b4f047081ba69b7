-- Has all sessions judged anew when rules changed. A program with older rules of behaviour leaves those of a newer one alone.
-- $1 version of the rules of behaviour, $2 fingerprint of the exclusions
-- → changed
WITH noted AS (
    UPDATE judging j
    SET behaviour_version = greatest(j.behaviour_version, $1), exclusions = $2
    WHERE j.behaviour_version < $1 OR j.exclusions <> $2
    RETURNING mark_all_unjudged()
)
SELECT EXISTS (SELECT FROM noted) AS changed
