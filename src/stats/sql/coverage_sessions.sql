-- How many sessions of the window are told by another one, and how many does a rule leave out?
--
-- $1 timestamptz, $2 timestamptz  window, $3 text[] sites, null = all
-- One row, all bigint: joined_landings (visits that began where no cookie could be set, and are told as one), excluded
SELECT (SELECT count(*)
        FROM sessions s
        WHERE s.continued
          AND s.started_at >= coalesce($1::timestamptz, '-infinity') AND s.started_at < $2::timestamptz
          AND s.session_hour >= first_hour($1) AND s.session_hour < $2
          AND ($3::text[] IS NULL OR s.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($3)))) AS joined_landings,
       (SELECT count(*)
        FROM sessions s
        WHERE s.excluded_by IS NOT NULL AND NOT s.continued
          AND s.started_at >= coalesce($1, '-infinity') AND s.started_at < $2
          AND s.session_hour >= first_hour($1) AND s.session_hour < $2
          AND ($3 IS NULL OR s.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY ($3)))) AS excluded
