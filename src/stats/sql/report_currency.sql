-- Which currency are sums in, and does any order need a rate to be in them?
--
-- $1 text[]  sites, null = all    $2 text  the shop's currency, null = the one that most orders have
-- One row: currency text (null = no order has one), needs_rates boolean (an order has another one, and rates are known)
--
-- Most shops have one, which needs no counting: the currencies of each site are found one after the other by an index.
WITH RECURSIVE used AS (
    (SELECT o.site_id, o.currency FROM orders o WHERE o.currency IS NOT NULL ORDER BY o.site_id, o.currency LIMIT 1)
    UNION ALL
    SELECT n.site_id, n.currency
    FROM used u
    CROSS JOIN LATERAL (
        SELECT o.site_id, o.currency
        FROM orders o
        WHERE o.currency IS NOT NULL AND (o.site_id, o.currency) > (u.site_id, u.currency)
        ORDER BY o.site_id, o.currency
        LIMIT 1
    ) n
), chosen AS (
    SELECT DISTINCT u.currency
    FROM used u
    WHERE $1::text[] IS NULL OR u.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($1))
), report AS (
    SELECT coalesce($2::text,
                    CASE WHEN (SELECT count(*) FROM chosen) > 1
                         THEN (SELECT o.currency
                               FROM orders o
                               WHERE o.currency IS NOT NULL
                                 AND ($1 IS NULL OR o.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($1)))
                               GROUP BY o.currency
                               ORDER BY count(*) DESC, o.currency
                               LIMIT 1)
                         ELSE (SELECT c.currency FROM chosen c) END) AS currency
)
SELECT r.currency,
       EXISTS (SELECT FROM chosen c WHERE c.currency <> r.currency) AND EXISTS (SELECT FROM exchange_rates) AS needs_rates
FROM report r
