-- What stands for these told actions?
-- $1 site_id, $2 kind_id, $3 reference
-- → index into the arrays, content
SELECT n.index, t.content
FROM unnest($1::integer[], $2::integer[], $3::text[]) WITH ORDINALITY AS n(site_id, kind_id, reference, index)
JOIN told_actions t USING (site_id, kind_id, reference)
