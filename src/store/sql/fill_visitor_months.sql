-- Writes to visitor_months what a month of sessions says of its visitors; the month is dropped in the same transaction.
-- Who is excluded counts as a bot there.
-- $1 first day of the month
INSERT INTO visitor_months (visitor_id, month, site_id, bot, identity, first_seen, campaign_id, sessions, page_views,
                            conversions, lead_sessions, started)
SELECT s.visitor_id, $1::date, s.site_id, s.bot OR s.excluded,
       coalesce(min(v.identity), 2), coalesce(min(v.first_seen), min(s.started_at)),
       (array_agg(s.campaign_id ORDER BY s.started_at, s.session_id))[1],
       count(*), sum(s.page_views), count(*) FILTER (WHERE s.converted), count(s.lead_at),
       array_agg(DISTINCT floor(extract(epoch FROM s.started_at - $1::date::timestamp AT TIME ZONE 'UTC') / 900)::smallint)
FROM session_facts s LEFT JOIN visitors v ON v.visitor_id = s.visitor_id
WHERE NOT s.continued AND s.session_hour >= $1::date::timestamp AT TIME ZONE 'UTC'
  AND s.session_hour < ($1::date + interval '1 month') AT TIME ZONE 'UTC'
GROUP BY s.visitor_id, s.site_id, s.bot OR s.excluded
