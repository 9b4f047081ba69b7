-- Is one of these ids in the list of who is forgotten, or one of these orders such a person's?
-- $1 id_hash, $2 site_id, $3 order_id
-- → before, one row
SELECT EXISTS (SELECT FROM forgotten WHERE id_hash = ANY ($1::bytea[]))
    OR EXISTS (SELECT FROM unnest($2::integer[], $3::text[]) AS a(site_id, order_id)
               JOIN orders o USING (site_id, order_id) WHERE o.forgotten_at IS NOT NULL) AS before
