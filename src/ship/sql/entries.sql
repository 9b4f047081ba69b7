-- Merges reports about orders: of each key the one received first stands, of a visitor's before any other.
-- $1 site_id, $2 order_id, $3 kind, $4 reference, $5 way, $6 at, $7 received_at, $8 hash, $9 value, $10 currency,
-- $11 order_number, $12 visitor_id, $13 session_id, $14 by_cookie, $15 click_ids, $16 phone, $17 email, $18 user_id,
-- $19 items, $20 properties, $21 weak; 15, 19 and 20 as JSON text
INSERT INTO order_entries AS o (site_id, order_id, kind, reference, way, at, received_at, hash, value, currency,
                                order_number, visitor_id, session_id, by_cookie, click_ids, phone, email, user_id,
                                items, properties, weak)
SELECT n.site_id, n.order_id, n.kind, n.reference, n.way, n.at, n.received_at, n.hash, n.value, n.currency,
       n.order_number, n.visitor_id, n.session_id, n.by_cookie, n.click_ids::jsonb, n.phone, n.email, n.user_id,
       n.items::jsonb, n.properties::jsonb, n.weak
FROM unnest($1::integer[], $2::text[], $3::smallint[], $4::text[], $5::smallint[], $6::timestamptz[],
            $7::timestamptz[], $8::bigint[], $9::numeric[], $10::text[], $11::text[], $12::uuid[], $13::uuid[],
            $14::boolean[], $15::text[], $16::bytea[], $17::bytea[], $18::bytea[], $19::text[], $20::text[],
            $21::boolean[])
    AS n(site_id, order_id, kind, reference, way, at, received_at, hash, value, currency, order_number, visitor_id,
         session_id, by_cookie, click_ids, phone, email, user_id, items, properties, weak)
ORDER BY n.site_id, n.order_id COLLATE "C", n.kind, n.reference COLLATE "C", n.way
ON CONFLICT (site_id, order_id, kind, reference, way) DO UPDATE SET
    at = excluded.at, received_at = excluded.received_at, hash = excluded.hash, value = excluded.value,
    currency = excluded.currency, order_number = excluded.order_number, visitor_id = excluded.visitor_id,
    session_id = excluded.session_id, by_cookie = excluded.by_cookie, click_ids = excluded.click_ids,
    phone = excluded.phone, email = excluded.email, user_id = excluded.user_id, items = excluded.items,
    properties = excluded.properties, weak = excluded.weak
WHERE (NOT excluded.by_cookie, excluded.received_at, excluded.hash) < (NOT o.by_cookie, o.received_at, o.hash)
