-- Which orders may have a customer in common with these, so that something may change for them?
-- $1 site_id, $2 order_id
-- → site_id, order_id
--
-- Of the keys of these orders that very many visitors have all orders are told: what connected them may just have ceased to.
WITH RECURSIVE key(site_id, hash, most_visitors) AS (
    SELECT a.site_id, k.hash, NULL::integer
    FROM (SELECT DISTINCT * FROM unnest($1::integer[], $2::text[])) AS a(site_id, order_id)
    JOIN order_entries e USING (site_id, order_id)
    CROSS JOIN LATERAL (VALUES (e.phone), (e.email), (e.user_id)) AS k(hash)
    WHERE k.hash IS NOT NULL
    UNION
    SELECT n.site_id, k.hash, 10
    FROM key n
    CROSS JOIN LATERAL orders_of_key(n.site_id, n.hash, n.most_visitors) x
    JOIN order_entries e ON e.site_id = n.site_id AND e.order_id = x.order_id
    CROSS JOIN LATERAL (VALUES (e.phone), (e.email), (e.user_id)) AS k(hash)
    WHERE k.hash IS NOT NULL
)
SELECT DISTINCT n.site_id, x.order_id
FROM (SELECT * FROM key LIMIT 10000) n
CROSS JOIN LATERAL orders_of_key(n.site_id, n.hash, n.most_visitors) x
