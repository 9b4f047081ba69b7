-- What happened in one session, in order; in its beginning without a cookie, too?
--
-- $1 uuid  session id, $2 bigint rows to give, $3 uuid that beginning
-- Rows by time: at timestamptz, type text, host, path, product_id, product_name text, value text (decimal), currency,
--               order_id text, points smallint, status smallint, properties jsonb, seconds float8 since the one before
SELECT e.at, coalesce(k.name, '(none)') AS type, g.host, g.path, p.product_id, p.name AS product_name,
       e.value::text AS value, e.currency, e.order_id, e.points, e.status, e.properties,
       extract(epoch FROM e.at - lag(e.at) OVER (ORDER BY e.at))::float8 AS seconds
FROM events e
LEFT JOIN action_kinds k ON k.kind_id = e.kind_id
LEFT JOIN pages g ON g.page_id = e.page_id
LEFT JOIN products p ON p.product_key = e.product_key
WHERE e.session_id IN ($1, $3)
ORDER BY e.at, e.kind_id
LIMIT $2
