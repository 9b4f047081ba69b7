-- Renames whom identifications are of, and their hashes in these, whoever else gave them.
-- $1 visitor_id, $2 what replaces it, $3 session_id, $4 what replaces it, $5 key
WITH renamed AS (
    SELECT * FROM unnest($1::uuid[] || $3::uuid[], $2::uuid[] || $4::uuid[]) AS n(old_id, new_id)
), gone AS (
    DELETE FROM identifications i USING renamed n WHERE i.subject = n.old_id
    RETURNING i.site_id, i.hash, n.new_id, i.kind, i.is_session, i.is_browser, i.at
)
INSERT INTO identifications (site_id, hash, subject, kind, is_session, is_browser, at)
SELECT g.site_id,
       CASE octet_length(g.hash) WHEN 16 THEN substring(sha256($5::bytea || 'c'::bytea || g.hash) FROM 1 FOR 16) || '\x00'::bytea
                                 ELSE g.hash END,
       g.new_id, g.kind, g.is_session, g.is_browser, g.at
FROM gone g
ON CONFLICT DO NOTHING
