-- Takes away the credits of orders that are computed anew, but for those that stand.
-- $1 site_id, $2 order_id
DELETE FROM order_credits c
USING unnest($1::integer[], $2::text[]) AS a(site_id, order_id)
WHERE (c.site_id, c.order_id) = (a.site_id, a.order_id)
  AND NOT EXISTS (SELECT FROM orders o WHERE (o.site_id, o.order_id) = (c.site_id, c.order_id) AND o.credits_stand)
