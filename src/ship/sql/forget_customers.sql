-- Takes the person out of reports about orders that are marked as forgotten; of items their product, number and price
-- stay.
-- $1 site_id, $2 order_id
UPDATE order_entries e
SET phone = NULL, email = NULL, user_id = NULL, click_ids = NULL, properties = NULL,
    items = (SELECT jsonb_agg(jsonb_build_object('product_id', i.item -> 'product_id', 'quantity', i.item -> 'quantity',
                                                 'price', i.item -> 'price') ORDER BY i.place)
             FROM jsonb_array_elements(e.items) WITH ORDINALITY AS i(item, place))
FROM (SELECT DISTINCT * FROM unnest($1::integer[], $2::text[])) AS a(site_id, order_id)
JOIN orders o USING (site_id, order_id)
WHERE (e.site_id, e.order_id) = (o.site_id, o.order_id) AND o.forgotten_at IS NOT NULL
  AND (coalesce(e.phone, e.email, e.user_id) IS NOT NULL OR coalesce(e.click_ids, e.properties, e.items) IS NOT NULL)
