-- What Client Hints say of a browser beside its user agent: agents are told apart by both.
-- For rows that are there nothing is known; a new one is made when the same browser comes with hints.

ALTER TABLE agents ADD COLUMN client_hints text NOT NULL DEFAULT '';
COMMENT ON COLUMN agents.client_hints IS 'What Sec-CH-UA, -Platform and -Mobile say that the user agent does not: browser=Brave/142; system=Chrome OS; mobile.';
COMMENT ON TABLE agents IS 'Browsers: user agents, with what Client Hints add, and what is read from both.';
