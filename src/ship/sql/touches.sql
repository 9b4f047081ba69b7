-- Merges touches: the earliest hit with the evidence stands.
-- $1 session_id, $2 visitor_id, $3 session_hour, $4 evidence, $5 at, $6 hash, $7 campaign_id, $8 referrer_id,
-- $9 page_id, $10 site_id, $11 flags, $12 status, $13 click_ids as JSON text
INSERT INTO touches AS t (session_id, visitor_id, session_hour, evidence, at, hash, campaign_id, referrer_id, page_id,
                          site_id, flags, status, click_ids)
SELECT n.session_id, n.visitor_id, n.session_hour, n.evidence, n.at, n.hash, n.campaign_id, n.referrer_id, n.page_id,
       n.site_id, n.flags, n.status, n.click_ids::jsonb
FROM (
    SELECT unnest($1::uuid[]) AS session_id, unnest($2::uuid[]) AS visitor_id,
           unnest($3::timestamptz[]) AS session_hour, unnest($4::bigint[]) AS evidence,
           unnest($5::timestamptz[]) AS at, unnest($6::bigint[]) AS hash, unnest($7::bigint[]) AS campaign_id,
           unnest($8::bigint[]) AS referrer_id, unnest($9::bigint[]) AS page_id, unnest($10::integer[]) AS site_id,
           unnest($11::integer[]) AS flags, unnest($12::smallint[]) AS status, unnest($13::text[]) AS click_ids
) n
ORDER BY n.session_id, n.session_hour, n.visitor_id, n.evidence
ON CONFLICT (session_id, session_hour, visitor_id, evidence) DO UPDATE SET
    at = excluded.at, hash = excluded.hash, campaign_id = excluded.campaign_id, referrer_id = excluded.referrer_id,
    page_id = excluded.page_id, site_id = excluded.site_id, flags = excluded.flags, status = excluded.status,
    click_ids = excluded.click_ids
WHERE (excluded.at, excluded.hash) < (t.at, t.hash)
