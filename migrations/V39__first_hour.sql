-- The planner leaves alone the months in which no session of a window can be, before it plans anything for them: for that the
-- bound must be known when it plans, and what a time less some days is it only knows where no time zone matters.

CREATE FUNCTION first_hour(from_at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce((from_at AT TIME ZONE 'UTC' - interval '2 days') AT TIME ZONE 'UTC', '-infinity')
$$;
COMMENT ON FUNCTION first_hour IS 'No session that began at from_at or later has an earlier session_hour; since ever for null.';

CREATE OR REPLACE FUNCTION report_sessions(
    from_at timestamptz, to_at timestamptz, site_names text[], bots text,
    source_in text[], source_out text[], medium_in text[], medium_out text[],
    campaign_in text[], campaign_out text[], content_in text[], content_out text[],
    term_in text[], term_out text[], device_in text[], device_out text[],
    country_in text[], country_out text[], channel_in text[], channel_out text[]
) RETURNS SETOF session_facts LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT s.*
    FROM session_facts s
    -- The hour is the partition key. A session starts in its hour (cookieless: its day); two days leave room for one
    -- whose first hits were lost.
    WHERE (from_at IS NULL OR s.started_at >= from_at)
      AND s.session_hour >= first_hour(from_at)
      AND s.started_at < to_at AND s.session_hour < to_at AND NOT s.excluded
      AND (site_names IS NULL OR s.site_id IN (SELECT n.site_id FROM sites n WHERE n.name = ANY (site_names)))
      AND CASE bots WHEN 'include' THEN true WHEN 'only' THEN s.bot ELSE NOT s.bot END
      AND (source_in IS NULL OR s.source LIKE ANY (source_in))
      AND (source_out IS NULL OR s.source NOT LIKE ALL (source_out))
      AND (medium_in IS NULL OR s.medium LIKE ANY (medium_in))
      AND (medium_out IS NULL OR s.medium NOT LIKE ALL (medium_out))
      AND (campaign_in IS NULL OR s.campaign LIKE ANY (campaign_in))
      AND (campaign_out IS NULL OR s.campaign NOT LIKE ALL (campaign_out))
      AND (content_in IS NULL OR s.content LIKE ANY (content_in))
      AND (content_out IS NULL OR s.content NOT LIKE ALL (content_out))
      AND (term_in IS NULL OR s.term LIKE ANY (term_in))
      AND (term_out IS NULL OR s.term NOT LIKE ALL (term_out))
      AND (device_in IS NULL OR s.device LIKE ANY (device_in))
      AND (device_out IS NULL OR s.device NOT LIKE ALL (device_out))
      AND (country_in IS NULL OR s.country LIKE ANY (country_in))
      AND (country_out IS NULL OR s.country NOT LIKE ALL (country_out))
      AND (channel_in IS NULL OR lower(s.channel) LIKE ANY (channel_in))
      AND (channel_out IS NULL OR lower(s.channel) NOT LIKE ALL (channel_out))
$$;
