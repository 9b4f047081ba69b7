-- What tells of these orders' customers? Of an order that names no key and is nobody's with others, nothing.
-- $1 site_id, $2 order_id
-- → site_id, order_id, customer, browser (whom it is joined to without the customer's help), keys (null = none), reports that
--   name any
--
-- Most shops tell no keys: the index that is looked into has none of their reports.
SELECT o.site_id, o.order_id, o.customer,
       CASE WHEN o.joined_by IN ('cookie', 'session', 'visitor') THEN o.visitor_id END AS browser, m.keys, m.reports
FROM (SELECT DISTINCT * FROM unnest($1::integer[], $2::text[])) AS a(site_id, order_id)
JOIN orders o USING (site_id, order_id)
CROSS JOIN LATERAL (SELECT array_agg(DISTINCT k.hash) AS keys, count(*) AS reports
                    FROM keys_of_order(o.site_id, o.order_id) k) m
WHERE m.keys IS NOT NULL OR o.customer IS NOT NULL
