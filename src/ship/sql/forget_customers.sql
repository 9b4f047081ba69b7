-- Takes the person out of reports about orders that are marked as forgotten; of items their product, number and price
-- stay, and so does what replaces hashes.
-- $1 site_id, $2 order_id
UPDATE order_entries e
SET phone = CASE WHEN octet_length(e.phone) > 16 THEN e.phone END,
    email = CASE WHEN octet_length(e.email) > 16 THEN e.email END,
    user_id = CASE WHEN octet_length(e.user_id) > 16 THEN e.user_id END,
    click_ids = NULL, properties = NULL, items = bare.items
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
  AND (octet_length(e.phone) <= 16 OR octet_length(e.email) <= 16 OR octet_length(e.user_id) <= 16 OR coalesce(e.click_ids, e.properties) IS NOT NULL
       OR e.items IS DISTINCT FROM bare.items)
