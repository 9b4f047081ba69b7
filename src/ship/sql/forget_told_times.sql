-- When was what, that the shop told and that names these people alone, or these orders?
-- $1 visitor_id, $2 site_id, $3 order_id
-- → at, site_id, kind_id, of_visitor
SELECT t.at, t.site_id, t.kind_id, true AS of_visitor FROM told_actions t WHERE t.visitor_id = ANY ($1::uuid[])
UNION
SELECT t.at, t.site_id, t.kind_id, false
FROM unnest($2::integer[], $3::text[]) AS o(site_id, order_id) JOIN told_actions t USING (site_id, order_id)
