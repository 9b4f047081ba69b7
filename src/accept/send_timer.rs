//! How long a client may take nothing of what is sent, whatever is spoken with it.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::clock::{Clock, Timer};

/// How long a client may take nothing of what is sent.
#[derive(Debug)]
pub(super) struct SendTimer {
    timer: Timer,
    idle: Duration,
}

impl SendTimer {
    pub(super) fn new(idle: Duration, clock: &Rc<Clock>) -> Self {
        SendTimer { timer: Timer::new(clock), idle }
    }

    /// Whether something is to be sent that the client does not take.
    pub(super) fn is_running(&self) -> bool {
        self.timer.is_armed()
    }

    /// From now on it is this long.
    pub(super) fn set_idle(&mut self, idle: Duration) {
        self.idle = idle;
    }

    /// What became of sending, or an error when it has been waited for too long.
    pub(super) fn watch<T>(
        &mut self,
        context: &Context<'_>,
        sent: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.timer.disarm();
            return sent;
        }
        if !self.timer.is_armed() {
            self.timer.arm(self.idle);
        }
        self.timer.poll_due(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}
