-- Renames the touches of visitors; click ids go.
-- $1 visitor_id, $2 what replaces it, $3 session_id, $4 what replaces it, $5 evidence, $6 what replaces it
WITH visitor AS (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS n(old_id, new_id)),
     session AS (SELECT * FROM unnest($3::uuid[], $4::uuid[]) AS n(old_id, new_id)),
     touched AS (SELECT * FROM unnest($5::bigint[], $6::bigint[]) AS n(old_evidence, new_evidence))
UPDATE touches t
SET session_id = session.new_id, visitor_id = visitor.new_id, evidence = touched.new_evidence, click_ids = NULL
FROM visitor, session, touched
WHERE t.session_id = session.old_id AND t.visitor_id = visitor.old_id AND t.evidence = touched.old_evidence
