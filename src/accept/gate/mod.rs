//! What a client sends, before anything parses it: only whole, unambiguous HTTP/1 messages go on (RFC 9112). A head is
//! held back until it has come whole and is good, its body passes by length or chunks, then the next head is looked at.
//!
//! In the place of the first bad head goes a stand-in, which is answered like any request, in its turn, with what
//! [`Gate::take_refused`] says. Nothing that follows is looked at. After a malformed chunk reading fails.
//!
//! What comes after a request that asks for an upgrade waits until its answer has told what it is.

mod chunks;
mod head;
mod target;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::VecDeque;

use http::uri::PathAndQuery;
use http::{Method, Version};
use prometheus_client::metrics::counter::Counter;

use self::chunks::Chunks;
use self::head::{Framing, Head};
use crate::config::Limits;
use crate::forward::{Names, Refusal, Spelling};

/// A request without `Host`, which never passes otherwise.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
const STAND_IN_OF_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\n\r\n";

/// How much waits for the answer to a request that asks for an upgrade.
const WAITING_BYTES: usize = 64 << 10;

/// One connection's gate. It makes no calls and keeps no time: bytes go in as they come, and those that may go on come
/// out. Bytes that come whole pass without a copy.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    state: State,
    /// What has come and not gone on: first what may, then the beginning of a head.
    held: Vec<u8>,
    /// How much of `held` may go on.
    passed: usize,
    /// How much of `held` has gone.
    given: usize,
    refused: Option<Refused>,
    /// Of the fields of the head that comes.
    names: Names,
    /// How the heads spell names that have come whole.
    spellings: VecDeque<Spelling>,
    /// The last head asked for an upgrade.
    upgrade_is_asked: bool,
    targets_escaped: Counter,
}

#[derive(Debug)]
enum State {
    Head(Head),
    Length(u64),
    Chunks(Chunks),
    /// A request asked for an upgrade.
    Waiting,
    /// It was granted: what comes is not HTTP.
    Open,
    /// A stand-in was given.
    Refused,
    /// A chunk was malformed.
    Broken,
}

impl State {
    fn of_body(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunks(Chunks::new()),
        }
    }
}

/// What may be done with a gate next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It takes bytes.
    Reading,
    /// It takes bytes and keeps them until [`Gate::resume`] or [`Gate::open`] is called.
    Waiting,
    /// It takes no more before [`Gate::resume`] or [`Gate::open`] is called.
    Full,
    /// What comes after the last request is of no interest.
    Refused,
    /// The body of the last request is malformed.
    Broken,
}

/// What was no request.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Its first line, if that was one.
    pub line: Option<RequestLine>,
    /// How much of it had come.
    pub bytes: usize,
}

/// The first line of a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// As sent.
    pub method: Method,
    /// Path of the target, without its query; none when the target is malformed or too long.
    pub path: Option<PathAndQuery>,
    /// 1.0 or 1.1.
    pub version: Version,
}

/// Why looking at bytes ended.
enum Stop {
    /// They are at an end.
    Dry,
    /// A head of this length has come whole, and cannot pass as it is.
    Mend(usize),
    Refused(Refusal),
    BadChunk,
}

impl Gate {
    /// A gate that counts targets that it had to mend.
    pub fn new(limits: Limits, targets_escaped: Counter) -> Self {
        let state = State::Head(Head::default());
        Gate {
            limits,
            state,
            held: Vec::new(),
            passed: 0,
            given: 0,
            refused: None,
            names: Names::default(),
            spellings: VecDeque::new(),
            upgrade_is_asked: false,
            targets_escaped,
        }
    }

    /// Takes bytes that have come. Answers how many of them may go on at once; those that follow are kept, and given
    /// by [`Gate::give`] when they may.
    pub fn admit(&mut self, bytes: &[u8]) -> usize {
        if !self.held.is_empty() {
            self.held.extend_from_slice(bytes);
            let stop = self.look();
            self.settle(stop);
            return 0;
        }
        let (passed, stop) = self.scan(bytes);
        if passed < bytes.len() || !matches!(stop, Stop::Dry) {
            self.held.extend_from_slice(&bytes[passed..]);
            self.settle(stop);
        }
        passed
    }

    /// Gives bytes that may go on and have not gone, at most `room`.
    pub fn give(&mut self, room: usize, mut take: impl FnMut(&[u8])) {
        let end = self.passed.min(self.given.saturating_add(room));
        take(&self.held[self.given..end]);
        self.given = end;
        if self.given < self.passed {
            return;
        }
        if self.passed == self.held.len() {
            self.held = Vec::new();
        } else {
            self.held.drain(..self.passed);
        }
        (self.passed, self.given) = (0, 0);
    }

    /// Whether there is something to give.
    pub fn has_something(&self) -> bool {
        self.given < self.passed
    }

    /// Whether something has come that may not go on yet.
    pub fn holds_something(&self) -> bool {
        !self.held.is_empty()
    }

    /// What may be done next, when there is nothing to give.
    pub fn mode(&self) -> Mode {
        match self.state {
            State::Waiting if self.held.len() >= WAITING_BYTES => Mode::Full,
            State::Waiting => Mode::Waiting,
            State::Refused => Mode::Refused,
            State::Broken => Mode::Broken,
            State::Head(_) | State::Length(_) | State::Chunks(_) | State::Open => Mode::Reading,
        }
    }

    /// Whether the last message that went on has ended, and nothing of the next has come.
    pub fn is_between_messages(&self) -> bool {
        self.held.is_empty() && matches!(&self.state, State::Head(head) if head.is_blank())
    }

    /// Whether a head has begun and not ended.
    pub fn is_within_head(&self) -> bool {
        matches!(&self.state, State::Head(head) if !head.is_blank())
    }

    /// The upgrade was not granted: what waits, and what comes, are requests.
    pub fn resume(&mut self) {
        if matches!(self.state, State::Waiting) {
            self.state = State::Head(Head::default());
            let stop = self.look();
            self.settle(stop);
        }
    }

    /// The upgrade was granted: what waits, and what comes, goes on as it is.
    pub fn open(&mut self) {
        self.state = State::Open;
        self.passed = self.held.len();
    }

    /// The client is silent: gives up what only makes the next head cheaper.
    pub fn rest(&mut self) {
        (self.names, self.spellings) = (Names::default(), VecDeque::new());
    }

    /// Refuses the head that has begun.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.settle(Stop::Refused(refusal));
    }

    /// How the next head spells the names of its fields that has come whole and may go on.
    pub fn take_spelling(&mut self) -> Option<Spelling> {
        self.spellings.pop_front()
    }

    /// What the stand-in stands for; once.
    pub fn take_refused(&mut self) -> Option<Refused> {
        self.refused.take()
    }

    /// Looks at what is held and has not been let pass.
    fn look(&mut self) -> Stop {
        let held = std::mem::take(&mut self.held);
        let (passed, stop) = self.scan(&held[self.passed..]);
        self.held = held;
        self.passed += passed;
        stop
    }

    /// Does what the bytes after `passed` call for.
    fn settle(&mut self, mut stop: Stop) {
        loop {
            match stop {
                Stop::Dry => {
                    // Empty lines before a request are no beginning of one.
                    if matches!(&self.state, State::Head(head) if head.is_blank()) {
                        self.state = State::Head(Head::default());
                        self.held.truncate(self.passed);
                    }
                    return;
                }
                Stop::Mend(length) => {
                    if let Err(refusal) = self.mend(length) {
                        stop = Stop::Refused(refusal);
                        continue;
                    }
                }
                Stop::Refused(refusal) => {
                    let head = &self.held[self.passed..];
                    let is_head = head.trim_ascii_start().starts_with(b"HEAD ");
                    let line = if let State::Head(read) = &self.state { read.line(head) } else { None };
                    let bytes = head.len();
                    self.held.truncate(self.passed);
                    self.held.extend_from_slice(if is_head { STAND_IN_OF_HEAD } else { STAND_IN });
                    self.passed = self.held.len();
                    self.refused = Some(Refused { refusal, line, bytes });
                    self.state = State::Refused;
                    return;
                }
                Stop::BadChunk => {
                    self.held.truncate(self.passed);
                    self.state = State::Broken;
                    return;
                }
            }
            stop = self.look();
        }
    }

    /// Takes off the head of `length` bytes that is held what stands before it, mends its target, and lets it pass.
    fn mend(&mut self, length: usize) -> Result<(), Refusal> {
        let State::Head(head) = &self.state else { return Ok(()) };
        let (framing, blank, target) = (head.framing(), head.blank(), head.target());
        let target = self.passed + target.start..self.passed + target.end;
        let mended = target::mended(&self.held[target.clone()]).ok_or(Refusal::Target)?;
        if mended.len() > self.limits.uri_bytes {
            return Err(Refusal::TargetTooLong);
        }
        let mut new_length = length - blank;
        if let Cow::Owned(mended) = mended {
            new_length = new_length - target.len() + mended.len();
            self.targets_escaped.inc();
            self.held.splice(target, mended);
        }
        self.held.drain(self.passed..self.passed + blank);
        self.passed += new_length;
        self.state = State::of_body(framing);
        Ok(())
    }

    fn after_message(&self) -> State {
        if self.upgrade_is_asked { State::Waiting } else { State::Head(Head::default()) }
    }

    /// Looks at bytes, which begin where the last look ended; those of an unfinished head are seen again. Answers how
    /// many may go on.
    fn scan(&mut self, bytes: &[u8]) -> (usize, Stop) {
        let mut passed = 0;
        loop {
            let rest = &bytes[passed..];
            let next = match &mut self.state {
                State::Head(head) => match head.read(rest, &self.limits, &mut self.names) {
                    Ok(None) => return (passed, Stop::Dry),
                    Ok(Some(length)) => {
                        self.upgrade_is_asked = head.asks_for_upgrade();
                        self.spellings.push_back(self.names.take());
                        if head.needs_mending() {
                            return (passed, Stop::Mend(length));
                        }
                        passed += length;
                        State::of_body(head.framing())
                    }
                    Err(refusal) => return (passed, Stop::Refused(refusal)),
                },
                State::Length(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    passed += count;
                    *left -= count as u64;
                    if *left > 0 {
                        return (passed, Stop::Dry);
                    }
                    self.after_message()
                }
                State::Chunks(chunks) => match chunks.read(rest, &self.limits) {
                    Ok(count) => {
                        passed += count;
                        if !chunks.is_over() {
                            return (passed, Stop::Dry);
                        }
                        self.after_message()
                    }
                    Err(bad) => return (passed + bad.good, Stop::BadChunk),
                },
                State::Open => return (bytes.len(), Stop::Dry),
                State::Waiting | State::Refused | State::Broken => return (passed, Stop::Dry),
            };
            self.state = next;
        }
    }
}
