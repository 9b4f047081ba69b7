-- What did visitors look at and do?
-- $1 visitor_id
-- → entry, JSON text
SELECT (to_jsonb(e) || jsonb_build_object('kind', k.name, 'host', g.host, 'path', g.path, 'product_id', p.product_id,
                                          'product_name', p.name))::text AS entry
FROM sessions s
JOIN events e ON e.session_id = s.session_id AND e.visitor_id = s.visitor_id
LEFT JOIN action_kinds k ON k.kind_id = e.kind_id
LEFT JOIN pages g ON g.page_id = e.page_id
LEFT JOIN products p ON p.product_key = e.product_key
WHERE s.visitor_id = ANY ($1::uuid[])
ORDER BY e.at
