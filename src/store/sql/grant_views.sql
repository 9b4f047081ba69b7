-- By what statements may a role read the views, and nothing else of their schema?
-- $1 role
SELECT format('REVOKE ALL ON SCHEMA bi FROM %1$I; GRANT USAGE ON SCHEMA bi TO %1$I; '
              'REVOKE ALL ON ALL TABLES IN SCHEMA bi FROM %1$I; GRANT SELECT ON ALL TABLES IN SCHEMA bi TO %1$I',
              $1::text)
