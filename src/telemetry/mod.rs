//! Logs and metrics.

pub mod access_log;
pub mod causes;
pub mod logs;
pub mod metrics;
pub mod traffic;
