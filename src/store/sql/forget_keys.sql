-- Deletes the keys of erasures that are longer ago than journals keep what they shipped.
-- $1 seconds
UPDATE erasures SET key = NULL
WHERE key IS NOT NULL AND applied_at < now() - make_interval(secs => $1::double precision)
