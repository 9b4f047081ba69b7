-- How do the contents of a campaign compare, by people?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- $27 bigint  contents to give, those with the most visitors
-- Rows by visitors: content text; visitors, sessions, conversions (visitors with an order), orders (millionths), left_out
--       bigint; revenue text; contents (all there are), overlapping (visitors of several contents) bigint
WITH people AS MATERIALIZED (
    SELECT s.content, s.visitor_id, count(*) AS sessions, bool_or(s.converted) AS converted
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    GROUP BY s.content, s.visitor_id
), lines AS (
    SELECT p.content, 1 AS visitors, p.sessions, p.converted::integer AS conversions, 0 AS orders, 0 AS left_out,
           0::numeric AS revenue
    FROM people p
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
       count(*) OVER () AS contents,
       (SELECT count(*) FROM (SELECT p.visitor_id FROM people p GROUP BY p.visitor_id HAVING count(*) > 1) o) AS overlapping
FROM contents c
ORDER BY c.visitors DESC, c.content
LIMIT $27
