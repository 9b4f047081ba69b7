-- Deletes the marketing cookies of visitors' sessions.
-- $1 visitor_id, $2 session_id
DELETE FROM session_cookies WHERE session_id = ANY ($2::uuid[]) AND visitor_id = ANY ($1::uuid[])
