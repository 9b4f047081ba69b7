-- Which orders have a customer in common with these, and may be joined by way of them?
-- $1 site_id, $2 order_id
-- → site_id, order_id
SELECT DISTINCT x.site_id, x.order_id
FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id)
JOIN order_entries e USING (site_id, order_id)
CROSS JOIN LATERAL (SELECT DISTINCT k.hash FROM (VALUES (e.phone), (e.email), (e.user_id)) AS k(hash)) k
CROSS JOIN LATERAL (
    SELECT y.site_id, y.order_id, count(*) OVER () AS reports
    FROM (SELECT e.site_id, e.order_id FROM order_entries e
          WHERE k.hash IS NOT NULL AND (e.phone = k.hash OR e.email = k.hash OR e.user_id = k.hash) LIMIT 201) y
) x
WHERE x.reports <= 200 AND x.site_id = a.site_id
