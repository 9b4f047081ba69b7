-- Takes the properties off told actions that name no session.
-- $1 at, $2 visitor_id, $3 site_id, $4 order_id
UPDATE events e SET properties = NULL
WHERE e.at = ANY ($1::timestamptz[]) AND e.session_id IS NULL AND e.properties IS NOT NULL
  AND (e.visitor_id = ANY ($2::uuid[])
       OR (e.site_id, e.order_id) IN (SELECT * FROM unnest($3::integer[], $4::text[]))
       -- Versions before V45 did not say whose it was.
       OR e.visitor_id IS NULL AND e.order_id IS NULL)
