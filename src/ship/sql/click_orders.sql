-- Which orders, not joined in a better way, name the click ids of these touches?
-- $1 site_id, $2 click_ids as JSON text
-- → site_id, order_id
SELECT DISTINCT o.site_id, o.order_id
FROM unnest($1::integer[], $2::text[]) AS t(site_id, click_ids)
CROSS JOIN LATERAL jsonb_each(t.click_ids::jsonb) AS c(name, value)
CROSS JOIN LATERAL (
    SELECT e.site_id, e.order_id FROM order_entries e
    WHERE e.click_ids IS NOT NULL AND e.click_ids @> jsonb_build_object(c.name, c.value)
    OFFSET 0
) e
JOIN orders o ON o.site_id = e.site_id AND o.order_id = e.order_id
WHERE e.site_id = t.site_id AND coalesce(o.joined_by, 'click_id') = 'click_id'
    -- Most shops report none, and then nothing is looked up.
    AND EXISTS (SELECT FROM order_entries WHERE click_ids IS NOT NULL)
