-- Notes what the shop said that somebody did; of a reference what came first stands.
-- $1 site_id, $2 kind_id, $3 reference, $4 content, $5 at, $6 points, $7 session_id, $8 visitor_id,
-- $9 order_id
-- → site_id, kind_id, reference of those that are new
INSERT INTO told_actions (site_id, kind_id, reference, content, at, points, session_id, visitor_id,
                          order_id)
SELECT n.site_id, n.kind_id, n.reference, n.content, n.at, n.points, n.session_id, n.visitor_id, n.order_id
FROM unnest($1::integer[], $2::integer[], $3::text[], $4::bigint[], $5::timestamptz[], $6::smallint[], $7::uuid[],
            $8::uuid[], $9::text[]) AS n(site_id, kind_id, reference, content, at, points, session_id, visitor_id, order_id)
ORDER BY n.site_id, n.kind_id, n.reference COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING site_id, kind_id, reference
