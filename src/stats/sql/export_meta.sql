-- Which orders of the window can Meta be told of, and by what?
--
-- $1–$20   window and filters, $21–$26 money, as report_orders() takes them
-- Rows by time: fields of Meta's Conversions API
--
-- fbc is the cookie as last seen in the order's session or in that of the click, else what it would be by the click (the last
-- one before the order with an fbclid, within 90 days); fbp is the cookie. external_id is the keyed hash of the user id, the
-- e-mail or the phone: only this program can make it, so that it tells Meta no more than that two orders are one customer's.
SELECT 'Purchase' AS event_name, extract(epoch FROM p.placed_at)::bigint AS event_time, p.order_id AS event_id,
       'website' AS action_source,
       coalesce(b.fbc, 'fb.1.' || (extract(epoch FROM k.at) * 1000)::bigint || '.' || k.fbclid) AS fbc, b.fbp,
       encode(h.hash, 'hex') AS external_id, coalesce(p.net, p.gross)::text AS value, p.currency
FROM (
    SELECT DISTINCT o.site_id, o.order_id
    FROM report_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                   $21, $22, $23, $24, $25, $26) o
    WHERE o.credit > 0
) c
JOIN orders p ON p.site_id = c.site_id AND p.order_id = c.order_id
LEFT JOIN LATERAL (
    SELECT t.session_id, t.at, x.click_ids ->> 'fbclid' AS fbclid
    FROM touches_of_order(p.site_id, p.order_id, p.visitor_id) t
    JOIN touches x ON x.session_id = t.session_id AND x.session_hour = t.session_hour AND x.visitor_id = t.visitor_id
                  AND x.evidence = t.evidence
    WHERE t.at <= p.placed_at AND t.at > p.placed_at - interval '2160 hours' AND x.flags & 8 = 0 AND x.click_ids ? 'fbclid'
    ORDER BY t.at DESC
    LIMIT 1
) k ON true
LEFT JOIN LATERAL (
    SELECT (array_agg(x.value ORDER BY x.at DESC) FILTER (WHERE x.name = '_fbc'))[1] AS fbc,
           (array_agg(x.value ORDER BY x.at DESC) FILTER (WHERE x.name = '_fbp'))[1] AS fbp
    FROM session_cookies x
    WHERE x.session_id IN (p.session_id, k.session_id)
) b ON true
LEFT JOIN LATERAL (
    SELECT coalesce(e.user_id, e.email, e.phone) AS hash
    FROM order_entries e
    WHERE e.site_id = p.site_id AND e.order_id = p.order_id AND coalesce(e.user_id, e.email, e.phone) IS NOT NULL
    ORDER BY e.user_id IS NULL, e.email IS NULL, e.at
    LIMIT 1
) h ON true
WHERE coalesce(p.net, p.gross, 0) > 0 AND p.forgotten_at IS NULL
  AND (b.fbc IS NOT NULL OR b.fbp IS NOT NULL OR k.fbclid IS NOT NULL OR h.hash IS NOT NULL)
ORDER BY p.placed_at, p.site_id, p.order_id
