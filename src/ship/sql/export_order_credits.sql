-- To which touches are orders credited?
-- $1 site_id, $2 order_id
-- → entry, JSON text
SELECT to_jsonb(c)::text AS entry
FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id) JOIN order_credits c USING (site_id, order_id)
ORDER BY c.order_id, c.model, c."position"
