-- Takes the properties off the actions, joined to nobody, by which shops told of orders that are marked as forgotten.
-- $1 site_id, $2 order_id, $3 times of the reports about them: the actions' own
UPDATE events e SET properties = NULL
FROM orders o
WHERE e.at = ANY ($3::timestamptz[]) AND e.order_id = ANY ($2::text[]) AND e.site_id = ANY ($1::integer[])
  AND e.session_id IS NULL AND e.properties IS NOT NULL
  AND (o.site_id, o.order_id) = (e.site_id, e.order_id) AND o.forgotten_at IS NOT NULL
