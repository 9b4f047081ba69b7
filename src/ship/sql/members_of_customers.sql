-- Which orders and identifications were one customer's so far?
-- $1 site_id, $2 customer
-- → columns of customer_members
SELECT m.*
FROM unnest($1::integer[], $2::text[]) AS a(site_id, customer)
JOIN customer_members m USING (site_id, customer)
