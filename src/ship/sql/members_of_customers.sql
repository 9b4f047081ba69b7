-- Which orders were one customer's so far?
-- $1 site_id, $2 customer
-- → site_id, order_id, customer, browser (whom it is joined to without the customer's help), keys (null = none)
SELECT o.site_id, o.order_id, o.customer,
       CASE WHEN o.joined_by IN ('cookie', 'session', 'visitor') THEN o.visitor_id END AS browser, m.keys
FROM unnest($1::integer[], $2::text[]) AS a(site_id, customer)
JOIN orders o USING (site_id, customer)
CROSS JOIN LATERAL (SELECT array_agg(DISTINCT k.hash) AS keys FROM keys_of_order(o.site_id, o.order_id) k) m
