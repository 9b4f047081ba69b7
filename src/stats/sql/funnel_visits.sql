-- The sessions of the window that may have come further than to begin, with the first time of each step that sessions know of.
--
-- $1–$20   window and filters, as report_sessions() takes them
-- $21 boolean  all sessions: a step is none that sessions know of
-- Rows: session_id uuid; began_at, last_seen timestamptz; converted boolean; cookieless_session_id uuid (its beginning; what was
--       done there is told by none of the times); product_view_at, add_to_cart_at, initiate_checkout_at, lead_at, purchase_at
SELECT s.session_id, s.began_at, s.last_seen, s.converted, l.cookieless_session_id, s.product_view_at, s.add_to_cart_at,
       s.initiate_checkout_at, s.lead_at, s.purchase_at
FROM report_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) s
LEFT JOIN LATERAL (
    SELECT x.cookieless_session_id
    FROM session_links x
    WHERE s.began_at < s.started_at AND x.visitor_id = s.visitor_id AND x.session_id = s.session_id
    LIMIT 1
) l ON true
WHERE $21::boolean OR s.converted OR s.began_at < s.started_at
   OR num_nonnulls(s.product_view_at, s.add_to_cart_at, s.initiate_checkout_at, s.lead_at, s.purchase_at) > 0
