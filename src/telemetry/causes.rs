//! Errors for the log.

use std::error::Error;
use std::fmt;

use tokio_postgres::error::DbError;

/// An error with everything that caused it, on one line. Of what Postgres says only the message and its code: the
/// details quote rows, which are people's.
#[derive(Debug)]
pub struct Causes<'a>(pub &'a dyn Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            match error.downcast_ref::<DbError>() {
                Some(database) => write!(f, ": {} ({})", database.message(), database.code().code())?,
                None => write!(f, ": {error}")?,
            }
            cause = error.source();
        }
        Ok(())
    }
}
