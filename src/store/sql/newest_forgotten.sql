-- What is the newest entry of the list of who is forgotten?
-- → erasure_id, forgotten_no, at most one row
SELECT erasure_id, forgotten_no FROM forgotten ORDER BY forgotten_no DESC LIMIT 1
