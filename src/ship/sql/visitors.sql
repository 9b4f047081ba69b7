-- Merges visitors; a row that would stay as it is is not written. last_seen comes as the beginning of a UTC day, so most
-- hits change nothing.
-- $1 visitor_id, $2 site_id, $3 identity, $4 first_seen, $5 last_seen, $6 minted_from, $7 registered_at
INSERT INTO visitors AS v (visitor_id, site_id, identity, first_seen, last_seen, minted_from, registered_at)
SELECT * FROM unnest($1::uuid[], $2::integer[], $3::smallint[], $4::timestamptz[], $5::timestamptz[], $6::uuid[],
                     $7::timestamptz[]) AS n(visitor_id)
ORDER BY n.visitor_id
ON CONFLICT (visitor_id) DO UPDATE SET
    site_id       = least(v.site_id, excluded.site_id),
    identity      = least(v.identity, excluded.identity),
    first_seen    = least(v.first_seen, excluded.first_seen),
    last_seen     = greatest(v.last_seen, excluded.last_seen),
    minted_from   = greatest(v.minted_from, excluded.minted_from),
    registered_at = least(v.registered_at, excluded.registered_at)
WHERE (v.site_id, v.identity, v.first_seen, v.last_seen, v.minted_from, v.registered_at) IS DISTINCT FROM (
    least(v.site_id, excluded.site_id),
    least(v.identity, excluded.identity),
    least(v.first_seen, excluded.first_seen),
    greatest(v.last_seen, excluded.last_seen),
    greatest(v.minted_from, excluded.minted_from),
    least(v.registered_at, excluded.registered_at))
