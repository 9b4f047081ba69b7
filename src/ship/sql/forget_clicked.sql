-- Lets orders stand that were joined by a click: it is told nowhere any more.
-- $1 site_id, $2 order_id
UPDATE orders o SET credits_stand = true
FROM (SELECT DISTINCT * FROM unnest($1::integer[], $2::text[])) AS a(site_id, order_id)
WHERE (o.site_id, o.order_id) = (a.site_id, a.order_id) AND o.joined_by = 'click_id' AND NOT o.credits_stand
