//! The database: connections, migrations, partitions.
