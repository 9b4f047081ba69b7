-- Orders that facts of a batch may change: those of a visitor who did something up to the moment of the order, those of
-- the same customer, or of whoever gave one of their keys, after it, those that name a session or a visitor which they were not
-- joined to so far, and those of visitors who were minted from one of these, or from the same id as one of these:
-- session_links may change for them; and weak ones of whom a told action waits for.
-- $1 sessions, $2 visitors, $3 least time of each session's hits, $4 the least of these times, $5 cookieless ids of the
-- batch and those that its visitors were minted from, $6 visitors whose first session it has, $7 visitors that it says were
-- minted
-- → site_id, order_id
--
-- $4 lets the orders of that time be read rather than all; OFFSET 0 has entries looked up one by one rather than read as
-- a whole. Where no order is a customer's none is looked up as such.
WITH seen AS (
    SELECT unnest($1::uuid[]) AS session_id, unnest($2::uuid[]) AS visitor_id, unnest($3::timestamptz[]) AS least_at
), minted AS MATERIALIZED (
    SELECT v.visitor_id
    FROM (
        SELECT n.cookieless_id FROM unnest($5::uuid[]) AS n(cookieless_id)
        UNION
        SELECT v.minted_from
        FROM unnest($6::uuid[]) AS n(visitor_id) JOIN visitors v USING (visitor_id)
        WHERE v.minted_from IS NOT NULL
    ) c
    JOIN visitors v ON v.minted_from = c.cookieless_id
    UNION
    SELECT n.visitor_id FROM unnest($7::uuid[]) AS n(visitor_id)
)
SELECT o.site_id, o.order_id
FROM seen s JOIN orders o ON o.visitor_id = s.visitor_id
WHERE o.placed_at >= s.least_at AND o.placed_at >= $4::timestamptz
UNION
SELECT x.site_id, x.order_id
FROM seen s
CROSS JOIN LATERAL (SELECT o.site_id, o.customer FROM orders o
                    WHERE o.visitor_id = s.visitor_id AND o.customer IS NOT NULL OFFSET 0) o
CROSS JOIN LATERAL (SELECT x.* FROM orders x WHERE x.site_id = o.site_id AND x.customer = o.customer OFFSET 0) x
WHERE x.placed_at >= s.least_at
  AND EXISTS (SELECT FROM orders WHERE customer IS NOT NULL)
UNION
SELECT o.site_id, o.order_id
FROM (
    SELECT s.visitor_id, min(s.least_at) AS least_at
    FROM seen s WHERE EXISTS (SELECT FROM identifications i WHERE i.subject = s.visitor_id)
    GROUP BY s.visitor_id
) s
CROSS JOIN LATERAL orders_of_identified(ARRAY[s.visitor_id]) x
JOIN orders o ON o.site_id = x.site_id AND o.order_id = x.order_id
WHERE o.placed_at >= s.least_at
UNION
SELECT o.site_id, o.order_id
FROM seen s
CROSS JOIN LATERAL (
    SELECT o.* FROM order_entries e JOIN orders o USING (site_id, order_id) WHERE e.session_id = s.session_id OFFSET 0
) o
WHERE o.placed_at >= s.least_at OR o.session_id IS DISTINCT FROM s.session_id
UNION
SELECT o.site_id, o.order_id
FROM seen s
CROSS JOIN LATERAL (
    SELECT o.* FROM order_entries e JOIN orders o USING (site_id, order_id) WHERE e.visitor_id = s.visitor_id OFFSET 0
) o
WHERE o.placed_at >= s.least_at OR o.visitor_id IS DISTINCT FROM s.visitor_id
UNION
SELECT o.site_id, o.order_id
FROM minted m
CROSS JOIN LATERAL (SELECT o.* FROM orders o WHERE o.visitor_id = m.visitor_id OFFSET 0) o
UNION
SELECT o.site_id, o.order_id
FROM orders_of_identified(array(SELECT m.visitor_id FROM minted m)) o
UNION
SELECT e.site_id, e.order_id
FROM seen s
JOIN told_actions t ON t.session_id = s.session_id
JOIN order_entries e ON e.visitor_id = s.visitor_id AND e.weak
