-- Which visitors are forgotten?
-- → id_hash
SELECT id_hash FROM forgotten WHERE kind = 1
