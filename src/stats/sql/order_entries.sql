-- What was reported about one order?
--
-- $1 integer site id, $2 text order id
-- Rows by time: kind, way smallint, reference text, at, received_at timestamptz, value text (decimal), currency,
--               order_number text, visitor_id, session_id uuid, by_cookie, has_customer, has_click_ids boolean
SELECT e.kind, e.way, e.reference, e.at, e.received_at, e.value::text AS value, e.currency, e.order_number,
       e.visitor_id, e.session_id, e.by_cookie,
       (e.phone IS NOT NULL OR e.email IS NOT NULL OR e.user_id IS NOT NULL) AS has_customer,
       e.click_ids IS NOT NULL AS has_click_ids
FROM order_entries e
WHERE e.site_id = $1 AND e.order_id = $2
ORDER BY e.at, e.kind, e.way DESC, e.reference
