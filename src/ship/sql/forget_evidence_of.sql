-- Which evidence did visitors come with?
-- $1 visitor_id
-- → evidence
SELECT t.evidence FROM touches t WHERE t.visitor_id = ANY ($1::uuid[])
UNION
SELECT s.touch_evidence FROM sessions s WHERE s.visitor_id = ANY ($1::uuid[]) AND s.touch_evidence IS NOT NULL
UNION
SELECT x.evidence
FROM visitors v CROSS JOIN LATERAL (VALUES (v.first_evidence), (v.last_evidence)) AS x(evidence)
WHERE v.visitor_id = ANY ($1::uuid[]) AND x.evidence IS NOT NULL
