-- Payments that name no order become entries of the orders that their references lead to.
-- $1 site_id, $2 reference of those that may be concerned
-- → site_id, order_id of the orders
INSERT INTO order_entries AS o (site_id, order_id, kind, reference, way, at, received_at, hash, value, currency, by_cookie)
SELECT p.site_id, r.order_id, 2, p.reference, p.way, p.at, p.received_at, p.hash, p.value, p.currency, false
FROM (SELECT DISTINCT a.site_id, a.reference FROM unnest($1::integer[], $2::text[]) AS a(site_id, reference)) a
JOIN payments p USING (site_id, reference)
JOIN order_references r USING (site_id, reference)
ORDER BY p.site_id, r.order_id COLLATE "C", p.reference COLLATE "C", p.way
ON CONFLICT (site_id, order_id, kind, reference, way) DO UPDATE SET
    at = excluded.at, received_at = excluded.received_at, hash = excluded.hash, value = excluded.value,
    currency = excluded.currency, order_number = NULL, visitor_id = NULL, session_id = NULL, click_ids = NULL,
    phone = NULL, email = NULL, user_id = NULL, items = NULL, properties = NULL, weak = excluded.weak
-- As entries.sql has it: a visitor's stays.
WHERE NOT o.by_cookie AND (excluded.received_at, excluded.hash) < (o.received_at, o.hash)
RETURNING o.site_id, o.order_id
