-- User agents whose text is still to be read.
-- $1 how many at most
-- → agent_id, user_agent, client_hints
SELECT a.agent_id, a.user_agent, a.client_hints FROM agents a WHERE NOT a.is_read ORDER BY a.agent_id LIMIT $1::bigint
