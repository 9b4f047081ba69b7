-- Adds rows of campaigns, as many of the new ones as the day's cap allows, by id.
-- $1 ids, $2 hits that name them, $3 sites, $4 source, $5 medium, $6 campaign, $7 content, $8 term, $9
-- utm_id, $10 parameters, $11 inferred, $12 label_source, $13 channel, $14 labelled_by, $15 cap
-- → id, site_id, uses, allowed, added (by nobody else meanwhile): one row for each that is new
WITH candidate AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::bigint[])
        AS c(id, uses, site_id, source, medium, campaign, content, term, utm_id, parameters, inferred,
             label_source, channel, labelled_by)
), fresh AS (
    SELECT c.*, row_number() OVER (PARTITION BY c.site_id ORDER BY c.id) AS rank
    FROM candidate c
    WHERE NOT EXISTS (SELECT FROM campaigns d WHERE d.campaign_id = c.id)
), allowance AS (
    SELECT c.*, c.rank <= $15::bigint - coalesce((
        SELECT g.added FROM dictionary_growth g
        WHERE g.day = (now() AT TIME ZONE 'UTC')::date AND g.kind = 'campaign' AND g.site_id = c.site_id), 0)
            AS allowed
    FROM fresh c
), written AS (
    INSERT INTO campaigns (campaign_id, site_id, source, medium, campaign, content, term, utm_id, parameters,
        inferred, label_source, channel, labelled_by)
    SELECT a.id, a.site_id, a.source, a.medium, a.campaign, a.content, a.term, a.utm_id, a.parameters::jsonb,
        a.inferred, a.label_source, a.channel, a.labelled_by
    FROM allowance a WHERE a.allowed ORDER BY a.id
    ON CONFLICT DO NOTHING
    RETURNING campaign_id
)
SELECT a.id, a.site_id, a.uses, a.allowed, w.campaign_id IS NOT NULL AS added
FROM allowance a LEFT JOIN written w ON w.campaign_id = a.id
