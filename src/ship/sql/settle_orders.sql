-- Computes orders anew from their entries and the sessions and visitors known. An order keeps its join, and its credits
-- (credits_stand), when what they were computed from is not all there any more: touches of its lookback, or the session
-- or visitor that a report names. One placed before all that is kept is joined to nobody: nobody knows what it came from.
-- $1 site_id, $2 order_id of the orders, $3 lookback in seconds, $4 points of a purchase, whatever its value
-- → session_id of each, null when joined to none
WITH affected AS (
    SELECT DISTINCT a.site_id, a.order_id FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id)
), entry AS MATERIALIZED (
    -- rank: the best way first, then the earliest
    -- is_confirmed: something tells of the order that is no page which anybody may open
    SELECT e.*, bool_or(NOT e.weak) OVER (PARTITION BY e.site_id, e.order_id) AS is_confirmed,
           row_number() OVER (PARTITION BY e.site_id, e.order_id
                                   ORDER BY e.way DESC, e.at, e.received_at, e.hash, e.kind, e.reference) AS rank
    FROM affected JOIN order_entries e USING (site_id, order_id)
), claim AS (
    -- counts: payments, cancellations and refunds count once for each reference.
    -- joined_by: the cookie on a request, else a session that was named and is known, else a visitor; the names sort so.
    SELECT e.*,
           row_number() OVER (PARTITION BY e.site_id, e.order_id, e.kind, e.reference
                              ORDER BY e.value IS NULL, e.rank) = 1 AS counts,
           s.visitor_id AS session_visitor,
           CASE WHEN e.by_cookie
                THEN CASE WHEN e.visitor_id IS NOT NULL
                               AND (NOT e.weak OR e.is_confirmed
                                    OR EXISTS (SELECT FROM sessions s
                                               WHERE s.visitor_id = e.visitor_id
                                                 AND least(s.add_to_cart_at, s.initiate_checkout_at) <= e.at))
                          THEN 'cookie' END
                WHEN s.visitor_id IS NOT NULL THEN 'session'
                WHEN EXISTS (SELECT FROM visitors v WHERE v.visitor_id = e.visitor_id) THEN 'visitor' END AS joined_by
    FROM entry e
    LEFT JOIN LATERAL (SELECT min(s.visitor_id::text)::uuid AS visitor_id FROM sessions s
                       WHERE NOT e.by_cookie AND s.session_id = e.session_id) s ON true
), ledger AS (
    -- One pass and no join: a planner that knows nothing of so new rows would join all with all.
    SELECT site_id, order_id,
           -- Whatever its kind: what holds of the whole order.
           (array_agg(currency ORDER BY kind <> 1, rank) FILTER (WHERE currency IS NOT NULL))[1] AS currency,
           (array_agg(order_number ORDER BY kind <> 1, rank) FILTER (WHERE order_number IS NOT NULL))[1]
               AS order_number,
           (array_agg(at ORDER BY rank) FILTER (WHERE kind = 5))[1] AS delivered_at,
           coalesce((array_agg(at ORDER BY rank) FILTER (WHERE kind = 1))[1], min(at)) AS placed_at,
           coalesce((array_agg(way ORDER BY rank) FILTER (WHERE kind = 1))[1], (array_agg(way ORDER BY at, rank))[1])
               AS placed_way,
           (array_agg(value ORDER BY rank) FILTER (WHERE kind = 1 AND value IS NOT NULL))[1] AS placed_value,
           sum(value) FILTER (WHERE kind = 2 AND counts) AS paid_named,
           coalesce(bool_or(value IS NULL) FILTER (WHERE kind = 2 AND counts), false) AS paid_rest,
           min(at) FILTER (WHERE kind = 2 AND counts) AS paid_at,
           coalesce(sum(value) FILTER (WHERE kind = 3 AND counts), 0) AS cancelled_named,
           max(value) FILTER (WHERE kind = 3 AND counts) AS most_cancelled,
           coalesce(bool_or(value IS NULL) FILTER (WHERE kind = 3 AND counts), false) AS cancelled_rest,
           coalesce(sum(value) FILTER (WHERE kind = 4 AND counts), 0) AS refunded_named,
           coalesce(bool_or(value IS NULL) FILTER (WHERE kind = 4 AND counts), false) AS refunded_rest,
           (array_agg(CASE joined_by WHEN 'session' THEN session_visitor ELSE visitor_id END
                      ORDER BY joined_by, kind <> 1, rank) FILTER (WHERE joined_by IS NOT NULL))[1] AS visitor_id,
           (array_agg(CASE joined_by WHEN 'visitor' THEN NULL ELSE session_id END
                      ORDER BY joined_by, kind <> 1, rank) FILTER (WHERE joined_by IS NOT NULL))[1] AS session_id,
           min(joined_by) AS joined_by
    FROM claim GROUP BY site_id, order_id
), valued AS (
    SELECT l.*, coalesce(l.placed_value, l.paid_named) AS gross FROM ledger l
), cancelled AS (
    -- A cancellation without value, or of the whole value, takes all that was not refunded, once.
    SELECT v.*,
           CASE WHEN gross IS NULL THEN cancelled_named
                WHEN cancelled_rest OR most_cancelled >= gross THEN greatest(gross - refunded_named, 0)
                ELSE least(cancelled_named, gross) END AS cancelled
    FROM valued v
), money AS (
    SELECT c.*,
           coalesce(paid_named, 0)
               + CASE WHEN paid_rest THEN greatest(coalesce(gross - coalesce(paid_named, 0), 0), 0) ELSE 0 END AS paid,
           refunded_named
               + CASE WHEN refunded_rest THEN greatest(coalesce(gross - cancelled - refunded_named, 0), 0) ELSE 0 END
               AS refunded
    FROM cancelled c
), kept AS (
    -- Touches of the two days after it may be gone, too: they go with the month in which their session began.
    SELECT max(h.horizon) AS since, max(h.horizon) + interval '2 days' + make_interval(secs => $3::double precision)
               AS wholly_since
    FROM retention_horizons h WHERE h.kind IN ('events', 'sessions')
)
INSERT INTO orders AS o (site_id, order_id, order_number, placed_at, placed_way, paid_at, delivered_at, currency,
                         gross, paid, cancelled, refunded, net, visitor_id, session_id, joined_by, points,
                         credits_stand)
SELECT m.site_id, m.order_id, m.order_number, m.placed_at, m.placed_way, m.paid_at, m.delivered_at, m.currency,
       m.gross, m.paid, m.cancelled, m.refunded, m.gross - m.cancelled - m.refunded,
       CASE WHEN k.order_id IS NULL THEN j.visitor_id ELSE k.visitor_id END,
       CASE WHEN k.order_id IS NULL THEN coalesce(j.session_id, latest.session_id) ELSE k.session_id END,
       CASE WHEN k.order_id IS NULL THEN j.joined_by ELSE k.joined_by END,
       $4::integer + least(floor(greatest(coalesce(m.gross, 0), 0) / 100), 1000000)::integer,
       k.order_id IS NOT NULL OR coalesce(m.placed_at < kept.wholly_since, false)
FROM money m
CROSS JOIN kept
LEFT JOIN LATERAL (
    -- The join and credits that it keeps, if any: by index for each order.
    SELECT o.order_id, o.visitor_id, o.session_id, o.joined_by FROM orders o
    WHERE o.site_id = m.site_id AND o.order_id = m.order_id
      AND (o.credits_stand OR least(o.placed_at, m.placed_at) < kept.wholly_since
           OR (o.joined_by = 'session' AND NOT EXISTS (SELECT FROM sessions s WHERE s.session_id = o.session_id)
               AND EXISTS (SELECT FROM order_entries e WHERE (e.site_id, e.order_id) = (o.site_id, o.order_id)
                                                         AND e.session_id = o.session_id))
           OR (o.joined_by = 'visitor' AND NOT EXISTS (SELECT FROM visitors v WHERE v.visitor_id = o.visitor_id)
               AND EXISTS (SELECT FROM order_entries e WHERE (e.site_id, e.order_id) = (o.site_id, o.order_id)
                                                         AND e.visitor_id = o.visitor_id)))
) k ON true
LEFT JOIN LATERAL (SELECT m.visitor_id, m.session_id, m.joined_by WHERE (m.placed_at < kept.since) IS NOT TRUE) j ON true
LEFT JOIN LATERAL (
    SELECT s.session_id FROM sessions s
    WHERE j.session_id IS NULL AND s.visitor_id = j.visitor_id
      AND s.started_at <= m.placed_at AND s.started_at > m.placed_at - make_interval(secs => $3::double precision)
    ORDER BY s.started_at DESC, s.session_id DESC LIMIT 1
) latest ON true
ORDER BY m.site_id, m.order_id COLLATE "C"
ON CONFLICT (site_id, order_id) DO UPDATE SET
    order_number = excluded.order_number, placed_at = excluded.placed_at, placed_way = excluded.placed_way,
    paid_at = excluded.paid_at, delivered_at = excluded.delivered_at, currency = excluded.currency,
    gross = excluded.gross, paid = excluded.paid, cancelled = excluded.cancelled, refunded = excluded.refunded,
    net = excluded.net, visitor_id = excluded.visitor_id, session_id = excluded.session_id,
    joined_by = excluded.joined_by, points = excluded.points, credits_stand = excluded.credits_stand,
    computed_at = now()
RETURNING o.session_id
