-- Which orders do reports name that name these keys of customers?
-- $1 site_id, $2 hash, $3 reports of a key that are read at most
-- → hash, reports of the order that name it; site_id, order_id, customer, browser (whom it is joined to without the customer's
--   help), keys of the order
SELECT n.hash, n.reports, o.site_id, o.order_id, o.customer,
       CASE WHEN o.joined_by IN ('cookie', 'session', 'visitor') THEN o.visitor_id END AS browser, m.keys
FROM (
    SELECT k.site_id, k.hash, x.order_id, count(*) AS reports
    FROM unnest($1::integer[], $2::bytea[]) AS k(site_id, hash)
    CROSS JOIN LATERAL (
        SELECT e.order_id
        FROM (
            SELECT p.site_id, p.order_id FROM order_entries p WHERE p.phone = k.hash
            UNION ALL
            SELECT m.site_id, m.order_id FROM order_entries m WHERE m.email = k.hash
            UNION ALL
            SELECT u.site_id, u.order_id FROM order_entries u WHERE u.user_id = k.hash
        ) e
        WHERE e.site_id = k.site_id
        LIMIT $3::bigint
    ) x
    GROUP BY k.site_id, k.hash, x.order_id
) n
JOIN orders o ON o.site_id = n.site_id AND o.order_id = n.order_id
CROSS JOIN LATERAL (SELECT array_agg(DISTINCT k.hash) AS keys FROM keys_of_order(o.site_id, o.order_id) k) m
