-- Is anything known of a visitor who has no session and no order?
-- $1 visitor_id
-- → a row if so
SELECT FROM visitors WHERE visitor_id = $1::uuid OR minted_from = $1::uuid
UNION ALL
SELECT FROM visitor_months WHERE visitor_id = $1::uuid
UNION ALL
SELECT FROM told_actions WHERE visitor_id = $1::uuid
UNION ALL
SELECT FROM identifications WHERE subject = $1::uuid
