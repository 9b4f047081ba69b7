-- Joins the visits of visitors, and of those minted from them, with their cookieless beginnings.
-- $1 visitor_id
-- → nothing
SELECT join_landings(array(
    SELECT unnest($1::uuid[])
    UNION
    SELECT v.minted_from FROM visitors v WHERE v.visitor_id = ANY ($1::uuid[]) AND v.minted_from IS NOT NULL))
