-- Cuts what leads from other visitors to these.
-- $1 visitor_id
UPDATE visitors SET minted_from = NULL WHERE minted_from = ANY ($1::uuid[])
