-- Takes the properties off told actions that name no session.
-- $1 at, $2 site_id, $3 kind_id, $4 whether they name a visitor; $5 visitor_id; $6 site_id, $7 order_id
UPDATE events e SET properties = NULL
WHERE e.at = ANY ($1::timestamptz[]) AND e.session_id IS NULL AND e.properties IS NOT NULL
  AND (e.visitor_id = ANY ($5::uuid[])
       OR (e.site_id, e.order_id) IN (SELECT * FROM unnest($6::integer[], $7::text[]))
       -- Versions before V45 did not say whose it was: all of the kind and the instant may be.
       OR e.visitor_id IS NULL AND e.order_id IS NULL
          AND (e.at, e.site_id, e.kind_id) IN (
              SELECT t.at, t.site_id, t.kind_id
              FROM unnest($1::timestamptz[], $2::integer[], $3::integer[], $4::boolean[]) AS t(at, site_id, kind_id, of_visitor)
              WHERE t.of_visitor))
