-- Which orders and identifications name these keys of customers?
-- $1 site_id, $2 hash, $3 reports of a key that are read at most
-- → hash, named (reports that name it) and columns of customer_members
WITH named AS MATERIALIZED (
    SELECT k.site_id, k.hash, r.order_id, r.identification_id, count(*) AS named
    FROM unnest($1::integer[], $2::bytea[]) AS k(site_id, hash)
    CROSS JOIN LATERAL reports_of_key(k.site_id, k.hash, $3::bigint) r
    GROUP BY k.site_id, k.hash, r.order_id, r.identification_id
)
SELECT n.hash, n.named, m.*
FROM named n JOIN customer_members m ON m.site_id = n.site_id AND m.order_id = n.order_id
UNION ALL
SELECT n.hash, n.named, m.*
FROM named n JOIN customer_members m ON m.identification_id = n.identification_id
