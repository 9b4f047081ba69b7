-- What was reported about orders?
-- $1 site_id, $2 order_id
-- → entry, JSON text
SELECT to_jsonb(e)::text AS entry
FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id) JOIN order_entries e USING (site_id, order_id)
ORDER BY e.received_at, e.order_id, e.kind, e.reference, e.way
