-- Deletes what forgotten visitors gave whose hash is left, since too many are known by it.
-- $1 visitor_id
DELETE FROM identifications i WHERE i.subject = ANY ($1::uuid[]) AND octet_length(i.hash) = 16
