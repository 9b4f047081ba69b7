-- Notes the version of this program's tables; answers the highest there was.
-- $1 version
-- → version
WITH noted AS (
    UPDATE label_rules SET version = $1 WHERE version < $1 RETURNING version
)
SELECT greatest((SELECT max(n.version) FROM noted n), (SELECT max(r.version) FROM label_rules r)) AS version
