-- Counts told actions in the session that they name, once, when it is known; of registrations without a session the
-- visitor is noted.
-- $1 sessions that may be new, or new to an action; $2 visitors likewise
-- → site_id, order_id: orders that may be joined otherwise now, since their visitor used the cart
WITH waiting AS MATERIALIZED (
    SELECT t.site_id, t.kind_id, t.reference, s.session_id, s.session_hour, s.visitor_id
    FROM (SELECT DISTINCT * FROM unnest($1::uuid[])) AS a(session_id)
    JOIN told_actions t ON t.session_id = a.session_id
    CROSS JOIN LATERAL (
        SELECT x.session_id, x.session_hour, x.visitor_id FROM sessions x
        WHERE x.session_id = t.session_id ORDER BY x.visitor_id LIMIT 1
    ) s
), joined AS (
    UPDATE told_actions t SET session_id = NULL
    FROM waiting w
    WHERE (t.site_id, t.kind_id, t.reference) = (w.site_id, w.kind_id, w.reference) AND t.session_id IS NOT NULL
    RETURNING w.session_id, w.session_hour, w.visitor_id, t.at, t.points,
              (SELECT k.name FROM action_kinds k WHERE k.kind_id = t.kind_id) AS kind
), summed AS (
    SELECT j.session_id, j.session_hour, j.visitor_id,
           count(*) FILTER (WHERE j.kind <> 'product_view')::integer AS actions, sum(j.points)::integer AS points,
           min(j.at) FILTER (WHERE j.kind = 'product_view')      AS product_view_at,
           min(j.at) FILTER (WHERE j.kind = 'add_to_cart')       AS add_to_cart_at,
           min(j.at) FILTER (WHERE j.kind = 'initiate_checkout') AS initiate_checkout_at,
           min(j.at) FILTER (WHERE j.kind = 'lead')              AS lead_at,
           min(j.at) FILTER (WHERE j.kind = 'registration')      AS registration_at
    FROM joined j GROUP BY j.session_id, j.session_hour, j.visitor_id
), counted AS (
    -- Sessions that retention has passed are being counted themselves.
    UPDATE sessions s
    SET actions = s.actions + n.actions, score = s.score + n.points,
        product_view_at = least(s.product_view_at, n.product_view_at),
        add_to_cart_at = least(s.add_to_cart_at, n.add_to_cart_at),
        initiate_checkout_at = least(s.initiate_checkout_at, n.initiate_checkout_at),
        lead_at = least(s.lead_at, n.lead_at),
        registration_at = least(s.registration_at, n.registration_at)
    FROM summed n
    WHERE (s.session_id, s.session_hour, s.visitor_id) = (n.session_id, n.session_hour, n.visitor_id)
      AND s.session_hour >= coalesce((SELECT h.horizon FROM retention_horizons h WHERE h.kind = 'sessions'), '-infinity')
), owned AS (
    UPDATE events e SET visitor_id = n.visitor_id
    FROM summed n
    WHERE e.session_id = n.session_id AND e.visitor_id IS NULL
), registered AS (
    UPDATE visitors v SET registered_at = least(v.registered_at, n.at)
    FROM (
        SELECT r.visitor_id, min(r.at) AS at
        FROM (
            SELECT n.visitor_id, n.registration_at AS at FROM summed n WHERE n.registration_at IS NOT NULL
            UNION ALL
            SELECT t.visitor_id, t.at
            FROM told_actions t JOIN action_kinds k USING (kind_id)
            WHERE t.visitor_id = ANY ($2::uuid[]) AND k.name = 'registration'
        ) r
        GROUP BY r.visitor_id
    ) n
    WHERE v.visitor_id = n.visitor_id AND (v.registered_at > n.at OR v.registered_at IS NULL)
)
SELECT DISTINCT e.site_id, e.order_id
FROM summed n JOIN order_entries e ON e.visitor_id = n.visitor_id
WHERE e.weak
