-- Takes the person out of reports about orders that are marked as forgotten; of items their product, number and price
-- stay.
-- $1 site_id, $2 order_id
UPDATE order_entries e
SET phone = NULL, email = NULL, user_id = NULL, click_ids = NULL, properties = NULL, items = bare.items
FROM (
    SELECT k.site_id, k.order_id, k.kind, k.reference, k.way,
           (SELECT jsonb_agg(jsonb_build_object('product_id', i.item -> 'product_id', 'quantity', i.item -> 'quantity',
                                                'price', i.item -> 'price') ORDER BY i.place)
            FROM jsonb_array_elements(k.items) WITH ORDINALITY AS i(item, place)) AS items
    FROM (SELECT DISTINCT * FROM unnest($1::integer[], $2::text[])) AS a(site_id, order_id)
    JOIN orders o USING (site_id, order_id)
    JOIN order_entries k USING (site_id, order_id)
    WHERE o.forgotten_at IS NOT NULL
) bare
WHERE (e.site_id, e.order_id, e.kind, e.reference, e.way)
    = (bare.site_id, bare.order_id, bare.kind, bare.reference, bare.way)
  AND (coalesce(e.phone, e.email, e.user_id) IS NOT NULL OR coalesce(e.click_ids, e.properties) IS NOT NULL
       OR e.items IS DISTINCT FROM bare.items)
