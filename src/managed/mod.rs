//! A private Postgres for those who have none.
