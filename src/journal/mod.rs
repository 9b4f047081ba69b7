//! The journal: what was seen, kept on disk until Postgres has it.
