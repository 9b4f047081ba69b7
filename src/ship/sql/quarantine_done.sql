-- A record that was set aside was tried again: it goes if it was stored, and keeps the new reason if it was set aside again. By its
-- checkpoint it is known that it was stored; so that stays.
-- $1 quarantine_id, $2 the journal as which it was shipped
-- → refused
WITH again AS (
    DELETE FROM quarantine q WHERE q.journal = $2::uuid RETURNING q.error
), gone AS (
    DELETE FROM journal_checkpoint c WHERE c.journal = $2::uuid AND EXISTS (SELECT FROM again)
), kept AS (
    UPDATE quarantine q SET error = a.error FROM again a WHERE q.quarantine_id = $1::bigint
), stored AS (
    DELETE FROM quarantine q
    WHERE q.quarantine_id = $1::bigint AND NOT EXISTS (SELECT FROM again)
      AND EXISTS (SELECT FROM journal_checkpoint c WHERE c.journal = $2::uuid AND c."offset" > 0)
)
SELECT EXISTS (SELECT FROM again) AS refused
