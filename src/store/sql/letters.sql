-- Does the database know the small forms of capital letters, of another alphabet and of this one, as the program does?
-- → folds
SELECT s.encoding = 'UTF8' AND lower('I') = 'i'
       AND lower(chr(CASE s.encoding WHEN 'UTF8' THEN 1054 ELSE 65 END))
           = chr(CASE s.encoding WHEN 'UTF8' THEN 1086 ELSE 97 END) AS folds
FROM (SELECT current_setting('server_encoding') AS encoding OFFSET 0) s
