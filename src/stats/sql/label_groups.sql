-- Which group of a list does each label belong to?
--
-- $1 text      dimension, as breakdown.rs names it
-- $2 bigint[]  ids of labels, null = without; $3 boolean[] of each without whether it is known that there is none, as of a session
-- Rows in the order of the ids: place integer from 1; key_1, key_2, key_3 text
--
-- Tables that a dimension does not need are joined on what is never true: the planner leaves them alone.
SELECT l.place::integer AS place,
       coalesce(CASE $1::text
                    WHEN 'source' THEN coalesce(l.instead, c.source)
                    WHEN 'campaign' THEN c.campaign
                    WHEN 'content' THEN c.content
                    WHEN 'channel' THEN CASE l.instead WHEN '(direct)' THEN 'Direct' ELSE coalesce(l.instead, c.channel, 'Unassigned') END
                    WHEN 'device' THEN coalesce(a.device_type, 'unknown')
                    WHEN 'browser' THEN a.browser_name
                    WHEN 'os' THEN a.os_name
                    WHEN 'country' THEN p.country
                    WHEN 'region' THEN p.region
                    WHEN 'city' THEN p.city
                    WHEN 'referrer' THEN r.host
                    WHEN 'landing' THEN g.path END, '(none)') AS key_1,
       coalesce(CASE $1
                    WHEN 'campaign' THEN coalesce(l.instead, c.source)
                    WHEN 'content' THEN c.campaign
                    WHEN 'device' THEN a.device_brand
                    WHEN 'browser' THEN split_part(a.browser_version, '.', 1)
                    WHEN 'os' THEN a.os_version
                    WHEN 'country' THEN p.country_name
                    WHEN 'region' THEN p.country
                    WHEN 'city' THEN p.region
                    WHEN 'landing' THEN g.host
                    ELSE '' END, '(none)') AS key_2,
       coalesce(CASE $1
                    WHEN 'campaign' THEN c.medium
                    WHEN 'content' THEN coalesce(l.instead, c.source)
                    WHEN 'device' THEN a.device_model
                    WHEN 'city' THEN p.country
                    ELSE '' END, '(none)') AS key_3
FROM (
    SELECT u.place, u.id, CASE WHEN u.id IS NULL THEN CASE WHEN u.is_known THEN '(direct)' ELSE '(not tracked)' END END AS instead
    FROM unnest($2::bigint[], $3::boolean[]) WITH ORDINALITY AS u(id, is_known, place)
) l
LEFT JOIN campaign_labels c ON c.campaign_id = l.id AND $1 IN ('source', 'campaign', 'content', 'channel')
LEFT JOIN agents a ON a.agent_id = l.id AND $1 IN ('device', 'browser', 'os')
LEFT JOIN places p ON p.place_id = l.id AND $1 IN ('country', 'region', 'city')
LEFT JOIN referrers r ON r.referrer_id = l.id AND $1 = 'referrer'
LEFT JOIN pages g ON g.page_id = l.id AND $1 = 'landing'
ORDER BY l.place
