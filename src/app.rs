//! Builds every stage in flow order and owns the order in which they end.
