-- Deletes salts whose day is over for a day, makes those of today and two days ahead that are missing, and gives all.
-- $1, $2, $3 sixteen random bytes each, for today, tomorrow and the day after
-- → day (days since 1970), salt
--
-- The statement does not see what it inserts itself, nor what another proxy inserts meanwhile: whoever is told less than
-- three days asks again.
WITH today AS (
    SELECT (now() AT TIME ZONE 'UTC')::date AS day
), gone AS (
    DELETE FROM cookieless_salts s USING today t WHERE s.day < t.day - 1
), made AS (
    INSERT INTO cookieless_salts (day, salt)
    SELECT t.day + n.ahead, n.salt
    FROM today t CROSS JOIN (VALUES (0, $1::bytea), (1, $2::bytea), (2, $3::bytea)) AS n(ahead, salt)
    ON CONFLICT (day) DO NOTHING
)
SELECT s.day - date '1970-01-01' AS day, s.salt
FROM cookieless_salts s CROSS JOIN today t
WHERE s.day >= t.day - 1
