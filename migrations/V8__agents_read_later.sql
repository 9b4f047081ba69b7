-- What a user agent says is read from its text after its hits are written: a flood of fresh ones must not hold records up.
--
-- The rows that are still to be read are the list of what is to be done, for whichever proxy comes first. The columns are
-- a function of the text alone, so that it does not show who read it, or when; until then the device is unknown. The
-- binary before writes rows that are read already, hence the default.

ALTER TABLE agents ADD COLUMN is_read boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN agents.is_read IS 'Whether device, system and browser are filled in; unknown and null until then.';

CREATE INDEX agents_unread ON agents (agent_id) WHERE NOT is_read;
