-- Which acquisition evidence is there of one visitor?
--
-- $1 uuid  visitor id, $2 bigint rows to give
-- Rows by time: columns of touch_details
SELECT t.*
FROM touch_details t
WHERE t.visitor_id = $1
ORDER BY t.at, t.evidence
LIMIT $2
