-- Since when is there anything?
--
-- One row: begin timestamptz, null in an empty shop
SELECT least((SELECT min(d.session_day) FROM session_days d),
             (SELECT s.session_hour FROM sessions s ORDER BY s.session_id LIMIT 1),
             (SELECT min(o.placed_at) FROM orders o)) AS begin
