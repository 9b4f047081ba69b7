-- Where it is written which migrations were applied.
CREATE TABLE IF NOT EXISTS refinery_schema_history (
    version    integer PRIMARY KEY,
    name       varchar(255),
    applied_on varchar(255),
    checksum   varchar(255)
)
