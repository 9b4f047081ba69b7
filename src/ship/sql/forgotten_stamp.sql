-- In which state is the list of who is forgotten? It changes with each entry and each key that is deleted.
-- → stamp, one row
SELECT concat_ws('/', l.forgotten_no, l.erasure_id, (SELECT count(*) FROM erasures WHERE key IS NOT NULL),
                 'read') AS stamp
FROM (SELECT) AS one
LEFT JOIN (SELECT forgotten_no, erasure_id FROM forgotten ORDER BY forgotten_no DESC LIMIT 1) l ON true
