-- When were orders reported by actions?
-- $1 site_id, $2 order_id
-- → at
SELECT DISTINCT e.at
FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id) JOIN order_entries e USING (site_id, order_id)
WHERE e.way IN (1, 2)
