-- Merges visitors; a row that would stay as it is is not written. last_seen comes as the beginning of a UTC day, so most
-- hits change nothing. Of two touches the one that wins is written first; where one is missing the comparison is null.
-- $1 visitor_id, $2 site_id, $3 identity, $4 first_seen, $5 last_seen, $6 minted_from, $7 registered_at,
-- $8 first_touch_at, $9 first_evidence, $10 first_campaign_id, $11 first_referrer_id,
-- $12 last_touch_at, $13 last_evidence, $14 last_campaign_id, $15 last_referrer_id
INSERT INTO visitors AS v (visitor_id, site_id, identity, first_seen, last_seen, minted_from, registered_at,
                           first_touch_at, first_evidence, first_campaign_id, first_referrer_id,
                           last_touch_at, last_evidence, last_campaign_id, last_referrer_id)
SELECT * FROM (
    SELECT unnest($1::uuid[]) AS visitor_id, unnest($2::integer[]) AS site_id, unnest($3::smallint[]) AS identity,
           unnest($4::timestamptz[]) AS first_seen, unnest($5::timestamptz[]) AS last_seen,
           unnest($6::uuid[]) AS minted_from, unnest($7::timestamptz[]) AS registered_at,
           unnest($8::timestamptz[]) AS first_touch_at, unnest($9::bigint[]) AS first_evidence,
           unnest($10::bigint[]) AS first_campaign_id, unnest($11::bigint[]) AS first_referrer_id,
           unnest($12::timestamptz[]) AS last_touch_at, unnest($13::bigint[]) AS last_evidence,
           unnest($14::bigint[]) AS last_campaign_id, unnest($15::bigint[]) AS last_referrer_id
) n
ORDER BY n.visitor_id
ON CONFLICT (visitor_id) DO UPDATE SET
    site_id       = least(v.site_id, excluded.site_id),
    identity      = least(v.identity, excluded.identity),
    first_seen    = least(v.first_seen, excluded.first_seen),
    last_seen     = greatest(v.last_seen, excluded.last_seen),
    minted_from   = greatest(v.minted_from, excluded.minted_from),
    registered_at = least(v.registered_at, excluded.registered_at),
    (first_touch_at, first_evidence, first_campaign_id, first_referrer_id) = (
        SELECT excluded.first_touch_at, excluded.first_evidence, excluded.first_campaign_id, excluded.first_referrer_id
        WHERE excluded.first_touch_at IS NOT NULL
          AND ((excluded.first_touch_at, excluded.first_evidence, excluded.first_campaign_id,
                excluded.first_referrer_id IS NOT NULL, excluded.first_referrer_id)
               < (v.first_touch_at, v.first_evidence, v.first_campaign_id,
                  v.first_referrer_id IS NOT NULL, v.first_referrer_id)) IS NOT FALSE
        UNION ALL
        SELECT v.first_touch_at, v.first_evidence, v.first_campaign_id, v.first_referrer_id
        LIMIT 1
    ),
    (last_touch_at, last_evidence, last_campaign_id, last_referrer_id) = (
        SELECT excluded.last_touch_at, excluded.last_evidence, excluded.last_campaign_id, excluded.last_referrer_id
        WHERE excluded.last_touch_at IS NOT NULL
          AND ((excluded.last_touch_at, excluded.last_evidence, excluded.last_campaign_id,
                excluded.last_referrer_id IS NOT NULL, excluded.last_referrer_id)
               > (v.last_touch_at, v.last_evidence, v.last_campaign_id,
                  v.last_referrer_id IS NOT NULL, v.last_referrer_id)) IS NOT FALSE
        UNION ALL
        SELECT v.last_touch_at, v.last_evidence, v.last_campaign_id, v.last_referrer_id
        LIMIT 1
    )
WHERE (v.site_id, v.identity, v.first_seen, v.last_seen, v.minted_from, v.registered_at) IS DISTINCT FROM (
    least(v.site_id, excluded.site_id),
    least(v.identity, excluded.identity),
    least(v.first_seen, excluded.first_seen),
    greatest(v.last_seen, excluded.last_seen),
    greatest(v.minted_from, excluded.minted_from),
    least(v.registered_at, excluded.registered_at))
   OR excluded.first_touch_at <= v.first_touch_at OR excluded.last_touch_at >= v.last_touch_at
   OR (excluded.first_touch_at IS NOT NULL AND v.first_touch_at IS NULL)
