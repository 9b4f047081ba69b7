-- Which actions that the shop told wait for visitors or for sessions of theirs, or name orders of theirs alone?
-- $1 visitor_id, $2 site_id, $3 order_id
-- → entry, JSON text
SELECT (to_jsonb(t) || jsonb_build_object('kind', k.name))::text AS entry
FROM told_actions t LEFT JOIN action_kinds k USING (kind_id)
WHERE t.visitor_id = ANY ($1::uuid[])
   OR t.session_id IN (SELECT s.session_id FROM sessions s WHERE s.visitor_id = ANY ($1::uuid[]))
   OR (t.site_id, t.order_id) IN (SELECT * FROM unnest($2::integer[], $3::text[]))
ORDER BY t.at
