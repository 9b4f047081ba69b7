//! From journals to Postgres, exactly once.
