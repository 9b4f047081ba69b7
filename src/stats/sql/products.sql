-- How do products compare, and what is in all of them and in those that the limit cuts off?
--
-- $1 text    column to sort by, $2 boolean least first
-- $3 bigint  rows to pass over, $4 bigint rows to give, $5 integer minor units of the report's currency
-- $6 bigint[] keys of products; of each bigint[] $7 views, $8 cart_adds, $9 cart_removes, $10 visits that viewed it, $11 that put it into
--            the cart, too, $12 that did that at all; $13 that did and bought it, $14 that viewed and bought it
-- $15 integer[] sites, $16 text[] ids, $17 text[] names of products that were bought; of each $18 bigint[] orders, $19 text[] pieces,
--            $20 text[] revenue, decimal, null where no price is known
-- Rows: part 'row' in order, then 'other' (products not given), then 'total'; site, product_id, name text;
--       views, cart_adds, cart_removes, purchases, quantity bigint; revenue text, null where no price is known;
--       visits that viewed, viewed_carted, carted, carted_bought, viewed_bought bigint; products bigint
WITH lines AS (
    SELECT p.site_id, p.product_id, p.name, d.views, d.adds, d.removes, 0::bigint AS purchases, 0::numeric AS quantity,
           NULL::numeric AS revenue, d.viewed, d.viewed_carted, d.carted, d.carted_bought, d.viewed_bought
    FROM unnest($6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
                $14::bigint[])
         AS d(product_key, views, adds, removes, viewed, viewed_carted, carted, carted_bought, viewed_bought)
    JOIN products p ON p.product_key = d.product_key
    UNION ALL
    SELECT b.site_id, b.product_id, b.name, 0, 0, 0, b.purchases, b.quantity::numeric, b.revenue::numeric, 0, 0, 0, 0, 0
    FROM unnest($15::integer[], $16::text[], $17::text[], $18::bigint[], $19::text[], $20::text[])
         AS b(site_id, product_id, name, purchases, quantity, revenue)
), groups AS (
    SELECT l.site_id, l.product_id, max(l.name) AS name, sum(l.views) AS views, sum(l.adds) AS adds, sum(l.removes) AS removes,
           sum(l.purchases) AS purchases, sum(l.quantity) AS quantity, sum(l.revenue) AS revenue, sum(l.viewed) AS viewed,
           sum(l.viewed_carted) AS viewed_carted, sum(l.carted) AS carted, coalesce(sum(l.carted_bought), 0) AS carted_bought,
           coalesce(sum(l.viewed_bought), 0) AS viewed_bought
    FROM lines l
    GROUP BY l.site_id, l.product_id
), ranked AS (
    SELECT g.*, n.name AS site,
           row_number() OVER (
               ORDER BY CASE WHEN $2::boolean THEN 1 ELSE -1 END
                        * CASE $1::text WHEN 'cart_adds' THEN g.adds
                                         WHEN 'purchases' THEN g.purchases
                                         WHEN 'revenue' THEN g.revenue
                                         WHEN 'view_to_cart_rate' THEN g.viewed_carted::numeric / nullif(g.viewed, 0)
                                         WHEN 'cart_to_purchase_rate' THEN g.carted_bought::numeric / nullif(g.carted, 0)
                                         WHEN 'view_to_purchase_rate' THEN g.viewed_bought::numeric / nullif(g.viewed, 0)
                                         ELSE g.views END NULLS LAST,
                        g.views DESC, g.purchases DESC, g.site_id, g.product_id) AS place
    FROM groups g
    LEFT JOIN sites n ON n.site_id = g.site_id
), parts AS (
    SELECT 'row' AS part, r.place, r.site, r.product_id, r.name, r.views, r.adds, r.removes, r.purchases, r.quantity,
           r.revenue, r.viewed, r.viewed_carted, r.carted, r.carted_bought, r.viewed_bought, 1::bigint AS products
    FROM ranked r
    WHERE r.place > $3::bigint AND r.place <= $3 + $4::bigint
    UNION ALL
    SELECT 'other', NULL, NULL, NULL, NULL, sum(r.views), sum(r.adds), sum(r.removes), sum(r.purchases), sum(r.quantity),
           sum(r.revenue), sum(r.viewed), sum(r.viewed_carted), sum(r.carted), sum(r.carted_bought), sum(r.viewed_bought),
           count(*)
    FROM ranked r
    WHERE r.place <= $3 OR r.place > $3 + $4
    UNION ALL
    SELECT 'total', NULL, NULL, NULL, NULL, sum(r.views), sum(r.adds), sum(r.removes), sum(r.purchases), sum(r.quantity),
           sum(r.revenue), sum(r.viewed), sum(r.viewed_carted), sum(r.carted), sum(r.carted_bought), sum(r.viewed_bought),
           count(*)
    FROM ranked r
)
SELECT p.part, p.site, p.product_id, p.name, coalesce(p.views, 0)::bigint AS views, coalesce(p.adds, 0)::bigint AS cart_adds,
       coalesce(p.removes, 0)::bigint AS cart_removes, coalesce(p.purchases, 0)::bigint AS purchases,
       coalesce(p.quantity, 0)::text AS quantity, round(p.revenue, $5)::text AS revenue,
       coalesce(p.viewed, 0)::bigint AS viewed, coalesce(p.viewed_carted, 0)::bigint AS viewed_carted,
       coalesce(p.carted, 0)::bigint AS carted, coalesce(p.carted_bought, 0)::bigint AS carted_bought,
       coalesce(p.viewed_bought, 0)::bigint AS viewed_bought, p.products
FROM parts p
ORDER BY CASE p.part WHEN 'row' THEN 1 WHEN 'other' THEN 2 ELSE 3 END, p.place
