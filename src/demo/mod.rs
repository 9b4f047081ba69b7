//! The demonstration: a sample shop and its visitors.
