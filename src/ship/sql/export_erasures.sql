-- Which erasures were these ids part of?
-- $1 id_hash
-- → entry, JSON text
SELECT jsonb_build_object('erasure_id', e.erasure_id, 'subject', e.subject, 'at', e.at, 'applied_at', e.applied_at,
                          'outcome', e.outcome, 'erased', e.erased)::text AS entry
FROM erasures e
WHERE e.erasure_id IN (SELECT f.erasure_id FROM forgotten f WHERE f.id_hash = ANY ($1::bytea[]))
ORDER BY e.applied_at
