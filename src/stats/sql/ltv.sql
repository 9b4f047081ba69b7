-- What have the visitors of the window brought since they first came, by the source of their first touch?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- $27 timestamptz  now: who came less than a horizon ago does not count in it
-- Rows by visitors: source text; visitors, customers, orders bigint; revenue text; and for each horizon of 30, 60, 90 days
--       visitors_…, customers_… bigint (old enough; of them with an order within it), revenue_… text; left_out
--       bigint (orders without an exchange rate)
--
-- Members are those whose first session is in the window; their first touch is that of this session, with its cookieless
-- beginning, else the first one known of the visitor. Orders are all of theirs, whatever credited them.
WITH first_sessions AS (
    SELECT s.visitor_id, min(s.began_at) AS began_at, min(s.source) AS source,
           bool_or(s.campaign_id IS NOT NULL) AS touched
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    WHERE s.session_number = 1
    GROUP BY s.visitor_id
), members AS MATERIALIZED (
    SELECT f.visitor_id, f.began_at,
           CASE WHEN f.touched OR v.first_campaign_id IS NULL THEN f.source ELSE coalesce(c.source, '(none)') END AS source
    FROM first_sessions f
    -- One by one, of those who need it: a join would read all visitors there are.
    LEFT JOIN LATERAL (
        SELECT x.first_campaign_id
        FROM visitors x
        WHERE x.visitor_id = f.visitor_id AND NOT f.touched
        OFFSET 0
    ) v ON true
    LEFT JOIN campaign_labels c ON c.campaign_id = v.first_campaign_id
), amounts AS (
    SELECT a.*
    FROM report_amounts(NULL, 'infinity', $3, $23, $24, $25, $26) a
    WHERE a.visitor_id IS NOT NULL AND $21::text IS NOT NULL AND $22::text IS NOT NULL
), bought AS (
    -- A full join is hashed, however little the planner knows of the tables.
    SELECT m.visitor_id, m.began_at, m.source, a.placed_at, a.gross, a.revenue, a.counted
    FROM members m
    FULL JOIN amounts a ON a.visitor_id = m.visitor_id
    OFFSET 0
), customers AS (
    SELECT b.source, b.began_at, count(*) AS orders, count(*) FILTER (WHERE NOT b.counted) AS left_out,
           count(b.gross) AS valued, sum(b.gross) AS gross, coalesce(sum(b.revenue), 0) AS revenue,
           count(*) FILTER (WHERE b.placed_at < b.began_at + interval '720 hours') AS orders_30,
           count(*) FILTER (WHERE b.placed_at < b.began_at + interval '1440 hours') AS orders_60,
           count(*) FILTER (WHERE b.placed_at < b.began_at + interval '2160 hours') AS orders_90,
           coalesce(sum(b.revenue) FILTER (WHERE b.placed_at < b.began_at + interval '720 hours'), 0) AS revenue_30,
           coalesce(sum(b.revenue) FILTER (WHERE b.placed_at < b.began_at + interval '1440 hours'), 0) AS revenue_60,
           coalesce(sum(b.revenue) FILTER (WHERE b.placed_at < b.began_at + interval '2160 hours'), 0) AS revenue_90
    FROM bought b
    WHERE b.visitor_id IS NOT NULL AND b.placed_at IS NOT NULL
    GROUP BY b.visitor_id, b.source, b.began_at
), brought AS (
    SELECT c.source, count(*) AS customers, sum(c.orders)::bigint AS orders, sum(c.left_out)::bigint AS left_out,
           sum(c.revenue) AS revenue,
           sum(c.gross) / nullif(sum(c.valued), 0) AS avg_order_value,
           count(*) FILTER (WHERE c.began_at <= $27::timestamptz - interval '720 hours' AND c.orders_30 > 0) AS customers_30,
           sum(c.revenue_30) FILTER (WHERE c.began_at <= $27 - interval '720 hours') AS revenue_30,
           count(*) FILTER (WHERE c.began_at <= $27 - interval '1440 hours' AND c.orders_60 > 0) AS customers_60,
           sum(c.revenue_60) FILTER (WHERE c.began_at <= $27 - interval '1440 hours') AS revenue_60,
           count(*) FILTER (WHERE c.began_at <= $27 - interval '2160 hours' AND c.orders_90 > 0) AS customers_90,
           sum(c.revenue_90) FILTER (WHERE c.began_at <= $27 - interval '2160 hours') AS revenue_90
    FROM customers c
    GROUP BY c.source
), came AS (
    SELECT m.source, count(*) AS visitors,
           count(*) FILTER (WHERE m.began_at <= $27 - interval '720 hours') AS visitors_30,
           count(*) FILTER (WHERE m.began_at <= $27 - interval '1440 hours') AS visitors_60,
           count(*) FILTER (WHERE m.began_at <= $27 - interval '2160 hours') AS visitors_90
    FROM members m
    GROUP BY m.source
)
SELECT c.source, c.visitors, coalesce(b.customers, 0) AS customers, coalesce(b.orders, 0) AS orders,
       round(coalesce(b.revenue, 0), $24)::text AS revenue, round(b.avg_order_value, $24)::text AS avg_order_value,
       c.visitors_30, coalesce(b.customers_30, 0) AS customers_30, round(coalesce(b.revenue_30, 0), $24)::text AS revenue_30,
       c.visitors_60, coalesce(b.customers_60, 0) AS customers_60, round(coalesce(b.revenue_60, 0), $24)::text AS revenue_60,
       c.visitors_90, coalesce(b.customers_90, 0) AS customers_90, round(coalesce(b.revenue_90, 0), $24)::text AS revenue_90,
       coalesce(b.left_out, 0) AS left_out
FROM came c
LEFT JOIN brought b ON b.source = c.source
ORDER BY c.visitors DESC, c.source
