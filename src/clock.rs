//! The wall clock, and the coarse time of one worker: every timeout of the request path hangs on one ticker, so that a
//! request that is answered in time costs no timer of the runtime, only a slot in a table.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use slab::Slab;

/// Time between two ticks, milliseconds: what a timeout may be late by, twice.
pub const TICK_MS: u64 = 100;

const NEVER: u64 = u64::MAX;

/// The wall clock in Unix milliseconds.
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Where what is recorded has its time from: the system, or, where a month must pass in a second, whoever holds it.
/// Clones show the same time.
#[derive(Debug, Clone, Default)]
pub struct WallClock(Option<Arc<AtomicU64>>);

impl WallClock {
    /// A clock that stands still at `unix_ms` until it is set.
    pub fn at(unix_ms: u64) -> Self {
        Self(Some(Arc::new(AtomicU64::new(unix_ms))))
    }

    /// Sets a clock that stands still; the system's goes its own way.
    pub fn set(&self, unix_ms: u64) {
        if let Some(time) = &self.0 {
            time.store(unix_ms, Ordering::Relaxed);
        }
    }

    /// Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.0.as_ref().map_or_else(unix_ms, |time| time.load(Ordering::Relaxed))
    }
}

/// A worker's clock and the table of what waits for it.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    now_ms: Cell<u64>,
    slots: RefCell<Slab<Slot>>,
}

#[derive(Debug)]
struct Slot {
    due_ms: u64,
    waker: Waker,
}

impl Clock {
    /// A clock at zero; it stands still until [`Clock::tick`] is called.
    pub fn start() -> Rc<Self> {
        Rc::new(Clock {
            started: Instant::now(),
            now_ms: Cell::new(0),
            slots: RefCell::new(Slab::with_capacity(256)),
        })
    }

    /// Milliseconds since the start, as of the last tick.
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// Moves the time on and wakes what is due.
    pub fn tick(&self) {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(NEVER);
        self.now_ms.set(now_ms);
        self.wake(|slot| slot.due_ms <= now_ms);
    }

    /// Wakes everything that waits, due or not.
    pub fn wake_all(&self) {
        self.wake(|_| true);
    }

    /// Wakers are called outside of the borrow: waking may end a task, whose timers then leave the table.
    fn wake(&self, is_due: impl Fn(&Slot) -> bool) {
        let due: Vec<Waker> = self
            .slots
            .borrow()
            .iter()
            .filter(|(_, slot)| is_due(slot))
            .map(|(_, slot)| slot.waker.clone())
            .collect();
        due.into_iter().for_each(Waker::wake);
    }
}

/// One deadline that can be moved; it leaves the clock's table when dropped.
#[derive(Debug)]
pub struct Timer {
    clock: Rc<Clock>,
    due_ms: u64,
    slot: Option<usize>,
}

impl Timer {
    /// A timer that never fires until it is armed.
    pub fn new(clock: &Rc<Clock>) -> Self {
        Timer { clock: Rc::clone(clock), due_ms: NEVER, slot: None }
    }

    /// Fires when at least `after` has passed, and at most two ticks later.
    pub fn arm(&mut self, after: Duration) {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(NEVER);
        self.arm_at(self.clock.now_ms().saturating_add(after_ms).saturating_add(TICK_MS));
    }

    /// Fires when the clock shows `due_ms`.
    pub fn arm_at(&mut self, due_ms: u64) {
        self.due_ms = due_ms;
        if let Some(slot) = self.slot {
            self.clock.slots.borrow_mut()[slot].due_ms = due_ms;
        }
    }

    /// Never fires until armed again.
    pub fn disarm(&mut self) {
        if self.is_armed() {
            self.arm_at(NEVER);
        }
    }

    /// Whether it will ever fire.
    pub fn is_armed(&self) -> bool {
        self.due_ms != NEVER
    }

    /// The worker's clock.
    pub fn clock(&self) -> &Rc<Clock> {
        &self.clock
    }

    /// Ready when due; else the task is woken then.
    pub fn poll_due(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.clock.now_ms() >= self.due_ms {
            return Poll::Ready(());
        }
        let mut slots = self.clock.slots.borrow_mut();
        match self.slot {
            None => {
                self.slot = Some(slots.insert(Slot { due_ms: self.due_ms, waker: context.waker().clone() }));
            }
            Some(slot) if !slots[slot].waker.will_wake(context.waker()) => {
                let old = std::mem::replace(&mut slots[slot].waker, context.waker().clone());
                drop(slots);
                drop(old);
            }
            Some(_) => {}
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            let removed = self.clock.slots.borrow_mut().try_remove(slot);
            drop(removed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_fires_after_its_time_and_leaves_the_table() {
        let clock = Clock::start();
        let mut timer = Timer::new(&clock);
        let context = Context::from_waker(Waker::noop());
        timer.arm(Duration::from_millis(1));
        assert!(timer.poll_due(&context).is_pending());
        assert_eq!(clock.slots.borrow().len(), 1);
        clock.now_ms.set(TICK_MS + 1);
        assert!(timer.poll_due(&context).is_ready());
        timer.disarm();
        assert!(timer.poll_due(&context).is_pending());
        drop(timer);
        assert!(clock.slots.borrow().is_empty());
    }
}
