//! A value that a reload replaces: whoever reads it has the newest, whoever holds one keeps it unchanged.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// The value in force. Clones share it.
pub struct Live<T>(Arc<ArcSwap<T>>);

impl<T> Live<T> {
    /// Begins with this value.
    pub fn new(value: impl Into<Arc<T>>) -> Self {
        Self(Arc::new(ArcSwap::new(value.into())))
    }

    /// The value in force, to be kept.
    pub fn now(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// The value in force, to be looked at: cheaper, and not across an await.
    pub fn peek(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// From now on this one is in force.
    pub fn replace(&self, value: impl Into<Arc<T>>) {
        self.0.store(value.into());
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Live").field(&self.peek()).finish()
    }
}
