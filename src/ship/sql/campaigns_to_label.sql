-- Which campaigns are labelled by other rules than these? Rows with a null are found by the index as well.
-- $1 fingerprint of the rules, $2 how many at most
-- → campaign_id, source, medium, campaign, inferred
(SELECT c.campaign_id, c.source, c.medium, c.campaign, c.inferred FROM campaigns c
 WHERE c.labelled_by IS NULL AND c.campaign_id <> 0 LIMIT $2)
UNION ALL
(SELECT c.campaign_id, c.source, c.medium, c.campaign, c.inferred FROM campaigns c
 WHERE c.labelled_by < $1 LIMIT $2)
UNION ALL
(SELECT c.campaign_id, c.source, c.medium, c.campaign, c.inferred FROM campaigns c
 WHERE c.labelled_by > $1 LIMIT $2)
LIMIT $2
