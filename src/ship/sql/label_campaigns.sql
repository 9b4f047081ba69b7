-- Labels campaigns.
-- $1 ids, $2 names of their sources, $3 channels, $4 fingerprint of the rules
UPDATE campaigns c
SET label_source = n.label_source, channel = n.channel, labelled_by = $4
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS n(campaign_id, label_source, channel)
WHERE c.campaign_id = n.campaign_id
