-- Adds events.
-- $1 session_id, $2 visitor_id, $3 at, $4 page_id, $5 product_key, $6 site_id, $7 kind_id, $8 points, $9 status,
-- $10 value, $11 currency, $12 order_id, $13 properties as JSON text
INSERT INTO events (session_id, visitor_id, at, page_id, product_key, site_id, kind_id, points, status, value,
                    currency, order_id, properties)
SELECT n.session_id, n.visitor_id, n.at, n.page_id, n.product_key, n.site_id, n.kind_id, n.points, n.status, n.value,
       n.currency, n.order_id, n.properties::jsonb
FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::integer[], $7::integer[],
            $8::smallint[], $9::smallint[], $10::numeric[], $11::text[], $12::text[], $13::text[])
    AS n(session_id, visitor_id, at, page_id, product_key, site_id, kind_id, points, status, value, currency,
         order_id, properties)
