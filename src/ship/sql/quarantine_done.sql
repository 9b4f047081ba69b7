-- A record that was set aside was tried again: it goes if it was stored, and keeps the new reason if it was set aside again.
-- $1 quarantine_id, $2 the journal as which it was shipped
-- → refused
WITH gone AS (
    DELETE FROM journal_checkpoint c WHERE c.journal = $2::uuid
), again AS (
    DELETE FROM quarantine q WHERE q.journal = $2::uuid RETURNING q.error
), kept AS (
    UPDATE quarantine q SET error = a.error FROM again a WHERE q.quarantine_id = $1::bigint
), stored AS (
    DELETE FROM quarantine q WHERE q.quarantine_id = $1::bigint AND NOT EXISTS (SELECT FROM again)
)
SELECT EXISTS (SELECT FROM again) AS refused
