//! Logs and metrics.

pub mod causes;
pub mod logs;
pub mod metrics;
pub mod traffic;
