-- What have the visitors of the window brought since they first came, by the source of their first touch?
--
-- $1–$20   window and filters, $21–$25 money, as report_orders() takes them
-- $26 timestamptz  now: who came less than a horizon ago does not count in it
-- Rows by visitors: source text; visitors, customers, orders bigint; revenue text; and for each horizon of 30, 60, 90 days
--       visitors_…, customers_… bigint (old enough; of them with an order within it), revenue_… text
--
-- Members are those whose first session is in the window; their first touch is the one known of the visitor, else that of
-- this session. Orders are all of theirs, whatever credited them.
WITH members AS MATERIALIZED (
    SELECT s.visitor_id, min(s.began_at) AS began_at, min(s.source) AS source
    FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
    WHERE s.session_number = 1
    GROUP BY s.visitor_id
), amounts AS MATERIALIZED (
    SELECT o.visitor_id, o.placed_at, c.gross, c.revenue
    FROM report_credits(NULL, 'infinity', $3, 'include', NULL, NULL, NULL, NULL, 'order', $22, $23, $24, $25) c
    JOIN orders o ON o.site_id = c.site_id AND o.order_id = c.order_id
    WHERE c."position" = 1 AND o.visitor_id IS NOT NULL AND $21::text IS NOT NULL
), lines AS (
    -- All of a visitor's lines together, without a join: a planner that knows little would join all with all.
    SELECT m.visitor_id, m.began_at, m.source, NULL::timestamptz AS placed_at, NULL::numeric AS gross, NULL::numeric AS revenue
    FROM members m
    UNION ALL
    SELECT a.visitor_id, NULL, NULL, a.placed_at, a.gross, a.revenue
    FROM amounts a
), spread AS (
    SELECT l.visitor_id, l.placed_at, l.gross, l.revenue,
           max(l.began_at) OVER (PARTITION BY l.visitor_id) AS began_at,
           max(l.source) OVER (PARTITION BY l.visitor_id) AS source
    FROM lines l
), persons AS (
    SELECT s.visitor_id, min(s.began_at) AS began_at, min(s.source) AS source, count(s.placed_at) AS orders,
           count(s.gross) AS valued, sum(s.gross) AS gross, coalesce(sum(s.revenue), 0) AS revenue,
           count(s.placed_at) FILTER (WHERE s.placed_at < s.began_at + interval '720 hours') AS orders_30,
           count(s.placed_at) FILTER (WHERE s.placed_at < s.began_at + interval '1440 hours') AS orders_60,
           count(s.placed_at) FILTER (WHERE s.placed_at < s.began_at + interval '2160 hours') AS orders_90,
           coalesce(sum(s.revenue) FILTER (WHERE s.placed_at < s.began_at + interval '720 hours'), 0) AS revenue_30,
           coalesce(sum(s.revenue) FILTER (WHERE s.placed_at < s.began_at + interval '1440 hours'), 0) AS revenue_60,
           coalesce(sum(s.revenue) FILTER (WHERE s.placed_at < s.began_at + interval '2160 hours'), 0) AS revenue_90
    FROM spread s
    WHERE s.began_at IS NOT NULL
    GROUP BY s.visitor_id
), touched AS (
    SELECT p.*, CASE WHEN v.first_campaign_id IS NULL THEN p.source ELSE coalesce(c.source, '(none)') END AS first_source
    FROM persons p
    LEFT JOIN visitors v ON v.visitor_id = p.visitor_id
    LEFT JOIN campaign_labels c ON c.campaign_id = v.first_campaign_id
)
SELECT t.first_source AS source, count(*) AS visitors, count(*) FILTER (WHERE t.orders > 0) AS customers,
       sum(t.orders)::bigint AS orders, round(sum(t.revenue), $24)::text AS revenue,
       round(sum(t.gross) / nullif(sum(t.valued), 0), $24)::text AS avg_order_value,
       count(*) FILTER (WHERE t.began_at <= $26::timestamptz - interval '720 hours') AS visitors_30,
       count(*) FILTER (WHERE t.began_at <= $26 - interval '720 hours' AND t.orders_30 > 0) AS customers_30,
       round(coalesce(sum(t.revenue_30) FILTER (WHERE t.began_at <= $26 - interval '720 hours'), 0), $24)::text AS revenue_30,
       count(*) FILTER (WHERE t.began_at <= $26 - interval '1440 hours') AS visitors_60,
       count(*) FILTER (WHERE t.began_at <= $26 - interval '1440 hours' AND t.orders_60 > 0) AS customers_60,
       round(coalesce(sum(t.revenue_60) FILTER (WHERE t.began_at <= $26 - interval '1440 hours'), 0), $24)::text AS revenue_60,
       count(*) FILTER (WHERE t.began_at <= $26 - interval '2160 hours') AS visitors_90,
       count(*) FILTER (WHERE t.began_at <= $26 - interval '2160 hours' AND t.orders_90 > 0) AS customers_90,
       round(coalesce(sum(t.revenue_90) FILTER (WHERE t.began_at <= $26 - interval '2160 hours'), 0), $24)::text AS revenue_90
FROM touched t
GROUP BY t.first_source
ORDER BY count(*) DESC, t.first_source
