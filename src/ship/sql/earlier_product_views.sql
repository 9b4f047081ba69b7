-- Makes the earlier hit the one that a product view, and its event, are of.
-- $1 session_id, $2 visitor_id, $3 session_hour, $4 product_key, $5 slot, $6 at, $7 hash, $8 page_id, $9 status,
-- $10 value, $11 currency, $12 order_id, $13 properties as JSON text, $14 site_id, $15 kind_id of product_view,
-- $16 seconds of a slot
WITH seen AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bigint[], $5::integer[], $6::timestamptz[],
                         $7::bigint[], $8::bigint[], $9::smallint[], $10::numeric[], $11::text[], $12::text[],
                         $13::text[], $14::integer[])
        AS n(session_id, visitor_id, session_hour, product_key, slot, at, hash, page_id, status, value, currency,
             order_id, properties, site_id)
), earlier AS (
    UPDATE product_views p SET at = s.at, hash = s.hash, site_id = s.site_id
    FROM seen s
    WHERE (p.session_id, p.session_hour, p.visitor_id, p.product_key, p.slot)
        = (s.session_id, s.session_hour, s.visitor_id, s.product_key, s.slot)
      AND (s.at, s.hash) < (p.at, p.hash)
    RETURNING s.*
)
UPDATE events e SET
    at = n.at, page_id = n.page_id, status = n.status, value = n.value, currency = n.currency, order_id = n.order_id,
    properties = n.properties::jsonb, site_id = n.site_id
FROM earlier n
WHERE e.session_id = n.session_id AND e.visitor_id = n.visitor_id AND e.product_key = n.product_key
  AND e.kind_id = $15::integer
  AND e.at >= n.session_hour + make_interval(secs => n.slot * $16::double precision)
  AND e.at < n.session_hour + make_interval(secs => (n.slot + 1) * $16::double precision)
