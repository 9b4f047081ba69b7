-- Which orders are known by these hashes of customers? What more than 1,000 reports name stands for no person.
-- $1 hash
-- → site_id, order_id
SELECT DISTINCT x.site_id, x.order_id
FROM unnest($1::bytea[]) AS n(hash)
CROSS JOIN LATERAL (
    SELECT y.site_id, y.order_id, count(*) OVER () AS reports
    FROM (SELECT e.site_id, e.order_id FROM order_entries e
          WHERE e.phone = n.hash OR e.email = n.hash OR e.user_id = n.hash LIMIT 1001) y
) x
WHERE x.reports <= 1000
