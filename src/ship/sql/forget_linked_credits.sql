-- Renames the touches that orders are credited to through session_links, which the renaming of visitors cuts; these
-- credits stand from now on. The visitor of such an order need not be forgotten himself, nor another of the customer's browsers
-- by whose link it is credited.
-- $1 visitor_id, $2 session_id, $3 what replaces it, $4 evidence, $5 what replaces it
WITH session AS (SELECT * FROM unnest($2::uuid[], $3::uuid[]) AS n(old_id, new_id)),
     touched AS (SELECT * FROM unnest($4::bigint[], $5::bigint[]) AS n(old_evidence, new_evidence)),
     earned AS (
    SELECT o.site_id, o.order_id FROM visitors v JOIN orders o USING (visitor_id) WHERE v.minted_from = ANY ($1::uuid[])
    UNION
    SELECT x.site_id, x.order_id
    FROM visitors v JOIN orders o USING (visitor_id) JOIN orders x ON x.site_id = o.site_id AND x.customer = o.customer
    WHERE v.minted_from = ANY ($1::uuid[])
    UNION
    SELECT i.site_id, i.order_id
    FROM orders_of_identified(array(SELECT v.visitor_id FROM visitors v WHERE v.minted_from = ANY ($1::uuid[]))) i
), linked AS (
    UPDATE order_credits c
    SET session_id = session.new_id,
        evidence = (SELECT new_evidence FROM touched WHERE old_evidence = c.evidence)
    FROM earned o, session
    WHERE (c.site_id, c.order_id) = (o.site_id, o.order_id) AND c.session_id = session.old_id
      AND NOT EXISTS (
          SELECT
          FROM orders m
          WHERE (m.site_id, m.order_id) = (o.site_id, o.order_id)
            AND EXISTS (SELECT FROM sessions s
                        WHERE s.session_id = c.session_id
                          AND (s.visitor_id = m.visitor_id
                               OR s.visitor_id IN (SELECT b.visitor_id FROM browsers_of_order(m.site_id, m.order_id) b))))
    RETURNING c.site_id, c.order_id
)
UPDATE orders o SET credits_stand = true
FROM (SELECT DISTINCT * FROM linked) l
WHERE (o.site_id, o.order_id) = (l.site_id, l.order_id)
