-- How do the contents of a campaign compare, by people?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- $27 bigint  contents to give, those with the most visitors
-- $28 text[] contents that were seen; of each bigint[] $29 visitors, $30 sessions, $31 conversions (visitors with an order)
-- Rows by visitors: content text; visitors, sessions, conversions, orders (millionths), left_out bigint; revenue text;
--       contents (all there are) bigint
WITH lines AS (
    SELECT s.content, s.visitors, s.sessions, s.conversions, 0 AS orders, 0 AS left_out, 0::numeric AS revenue
    FROM unnest($28::text[], $29::bigint[], $30::bigint[], $31::bigint[]) AS s(content, visitors, sessions, conversions)
    UNION ALL
    SELECT o.content, 0, 0, 0, o.credit, (NOT o.counted AND o."position" = 1)::integer, o.credited_revenue
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                       $21, $22, $23, $24, $25, $26) o
), contents AS (
    SELECT l.content, sum(l.visitors) AS visitors, sum(l.sessions) AS sessions, sum(l.conversions) AS conversions,
           sum(l.orders) AS orders, sum(l.left_out) AS left_out, coalesce(sum(l.revenue), 0) AS revenue
    FROM lines l
    GROUP BY l.content
)
SELECT c.content, c.visitors::bigint AS visitors, c.sessions::bigint AS sessions, c.conversions::bigint AS conversions,
       c.orders::bigint AS orders, c.left_out::bigint AS left_out, round(c.revenue, $24)::text AS revenue,
       count(*) OVER () AS contents
FROM contents c
ORDER BY c.visitors DESC, c.content
LIMIT $27
