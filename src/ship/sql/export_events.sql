-- What did visitors look at and do, and what did the shop tell of them, or of their orders, alone?
-- $1 visitor_id, $2 site_id, $3 order_id
-- → entry, JSON text
SELECT (to_jsonb(e) || jsonb_build_object('kind', k.name, 'host', g.host, 'path', g.path, 'product_id', p.product_id,
                                          'product_name', p.name))::text AS entry
FROM (
    SELECT e.*
    FROM sessions s JOIN events e ON e.session_id = s.session_id AND e.visitor_id = s.visitor_id
    WHERE s.visitor_id = ANY ($1::uuid[])
    UNION ALL
    SELECT e.*
    FROM (
        SELECT DISTINCT t.at, t.site_id, t.kind_id, t.visitor_id, t.order_id
        FROM told_actions t
        WHERE t.visitor_id = ANY ($1::uuid[])
           OR (t.site_id, t.order_id) IN (SELECT * FROM unnest($2::integer[], $3::text[]))
    ) t
    CROSS JOIN LATERAL (
        SELECT x.* FROM events x
        WHERE x.at = t.at AND x.site_id = t.site_id AND x.kind_id = t.kind_id AND x.session_id IS NULL
          AND x.visitor_id IS NOT DISTINCT FROM t.visitor_id AND x.order_id IS NOT DISTINCT FROM t.order_id
        OFFSET 0
    ) e
) e
LEFT JOIN action_kinds k ON k.kind_id = e.kind_id
LEFT JOIN pages g ON g.page_id = e.page_id
LEFT JOIN products p ON p.product_key = e.product_key
ORDER BY e.at
