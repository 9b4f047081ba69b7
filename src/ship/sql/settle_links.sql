-- Joins orders that nothing else joins: to the customer's browser that was there last up to theirs, by an order that is joined
-- to it by a cookie, a session or a visitor's name, or by the beginning of a session where they gave a key; else to whoever came last, up to the order, with a click id that a report names. Both within the
-- lookback. An order that pages alone tell of waits for something better.
-- $1 site_id, $2 order_id, $3 lookback in seconds
-- → session_id of each, null when the visitor had none
WITH lonely AS MATERIALIZED (
    SELECT o.site_id, o.order_id, o.placed_at, o.placed_at - make_interval(secs => $3::double precision) AS since
    FROM (SELECT DISTINCT a.site_id, a.order_id FROM unnest($1::integer[], $2::text[]) AS a(site_id, order_id)) a
    JOIN orders o USING (site_id, order_id)
    WHERE o.joined_by IS NULL AND NOT o.credits_stand
      AND (o.placed_at < (SELECT max(h.horizon) FROM retention_horizons h WHERE h.kind IN ('events', 'sessions')))
          IS NOT TRUE
), report AS MATERIALIZED (
    SELECT l.site_id, l.order_id, l.placed_at, l.since, e.click_ids
    FROM lonely l JOIN order_entries e USING (site_id, order_id)
    WHERE NOT e.weak
), by_customer AS (
    SELECT DISTINCT ON (l.site_id, l.order_id) l.site_id, l.order_id, c.visitor_id
    FROM lonely l
    CROSS JOIN LATERAL browsers_of_order(l.site_id, l.order_id) c
    CROSS JOIN LATERAL (
        SELECT c.placed_at AS at, 0::bigint AS hash
        WHERE c.placed_at <= l.placed_at AND c.placed_at > l.since
        UNION ALL
        (SELECT s.started_at, s.entry_hash FROM sessions s
         WHERE c.order_id IS NULL AND s.visitor_id = c.visitor_id
           AND s.started_at <= l.placed_at AND s.started_at > l.since
         ORDER BY s.started_at DESC, s.entry_hash LIMIT 1)
    ) was_there
    WHERE EXISTS (SELECT FROM order_entries e
                  WHERE (e.site_id, e.order_id) = (l.site_id, l.order_id) AND NOT e.weak)
    ORDER BY l.site_id, l.order_id, was_there.at DESC, c.order_id COLLATE "C", was_there.hash, c.visitor_id
), by_click AS (
    SELECT DISTINCT ON (r.site_id, r.order_id) r.site_id, r.order_id, t.visitor_id
    FROM report r
    CROSS JOIN LATERAL jsonb_each(r.click_ids) AS c(name, value)
    CROSS JOIN LATERAL (
        SELECT t.* FROM touches t
        WHERE t.click_ids IS NOT NULL AND t.click_ids @> jsonb_build_object(c.name, c.value)
          AND t.at <= r.placed_at AND t.at > r.since
          AND t.session_hour <= r.placed_at AND t.session_hour > r.since - interval '2 days'
        OFFSET 0
    ) t
    WHERE t.site_id = r.site_id
    ORDER BY r.site_id, r.order_id, t.at DESC, t.evidence DESC, t.session_id DESC, t.visitor_id DESC
), joined AS (
    SELECT l.site_id, l.order_id, l.placed_at, l.since, coalesce(c.visitor_id, k.visitor_id) AS visitor_id,
           CASE WHEN c.visitor_id IS NULL THEN 'click_id' ELSE 'customer' END AS joined_by
    FROM lonely l
    LEFT JOIN by_customer c USING (site_id, order_id)
    LEFT JOIN by_click k USING (site_id, order_id)
    WHERE coalesce(c.visitor_id, k.visitor_id) IS NOT NULL
)
UPDATE orders o
SET visitor_id = j.visitor_id, joined_by = j.joined_by,
    session_id = (SELECT s.session_id FROM sessions s
                  WHERE s.visitor_id = j.visitor_id AND s.started_at <= j.placed_at AND s.started_at > j.since
                  ORDER BY s.started_at DESC, s.session_id DESC LIMIT 1)
FROM joined j
WHERE (o.site_id, o.order_id) = (j.site_id, j.order_id)
RETURNING o.session_id
