-- Which group of a list does each label belong to?
--
-- $1 text      dimension, as breakdown.rs names it
-- $2 bigint[]  ids of labels, null = without; $3 boolean[] of each without whether it is known that there is none, as of a session
-- Rows in the order of the ids: place integer from 1; key_1, key_2, key_3 text
SELECT l.place::integer AS place, g.key_1, g.key_2, g.key_3
FROM unnest($2::bigint[], $3::boolean[]) WITH ORDINALITY AS l(id, is_known, place)
LEFT JOIN campaign_labels c ON c.campaign_id = l.id AND $1::text IN ('source', 'campaign', 'content', 'channel')
CROSS JOIN LATERAL (
    SELECT r.*
    FROM report_groups(
        $1, CASE WHEN l.id IS NULL THEN CASE WHEN l.is_known THEN '(direct)' ELSE '(not tracked)' END ELSE coalesce(c.source, '(none)') END,
        coalesce(c.medium, '(none)'), coalesce(c.campaign, '(none)'), coalesce(c.content, '(none)'),
        CASE WHEN l.id IS NULL THEN CASE WHEN l.is_known THEN 'Direct' ELSE '(not tracked)' END
             ELSE coalesce(c.channel, 'Unassigned') END) r
    WHERE $1 IN ('source', 'campaign', 'content', 'channel')
    UNION ALL
    SELECT r.*
    FROM session_groups($1, l.id, l.id, l.id, l.id) r
    WHERE $1 NOT IN ('source', 'campaign', 'content', 'channel')
) g
ORDER BY l.place
