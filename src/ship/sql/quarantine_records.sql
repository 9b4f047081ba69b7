-- How many records are set aside; more than ten thousand are not counted.
-- → records
SELECT count(*) AS records FROM (SELECT FROM quarantine LIMIT 10000) counted
