//! Bodies on their way through: counted against limits and watched for silence, never collected.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::Lease;
use super::fields::clean_trailers;
use super::tunnel::Tunnel;
use crate::bodies::SharedReader;
use crate::clock::{Clock, Timer};

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client's framing was malformed.
    #[error("the request's body is malformed")]
    Malformed(#[source] hyper::Error),
    /// The client went away.
    #[error("the client went away within its request")]
    ClientGone(#[source] hyper::Error),
    /// The client sent nothing for `body_idle`.
    #[error("the client stopped sending")]
    ClientIdle,
    /// More came than `body_bytes` allows.
    #[error("the request's body is too long")]
    TooLong,
    /// The upstream went away or its framing was malformed.
    #[error("the response's body could not be read")]
    Upstream(#[source] hyper::Error),
    /// The upstream sent nothing for `response_idle`.
    #[error("the upstream stopped sending")]
    UpstreamIdle,
}

/// A request's body on its way to the upstream.
#[derive(Debug)]
pub struct RequestBody(Option<Box<Upload>>);

#[derive(Debug)]
struct Upload {
    incoming: Incoming,
    left_bytes: u64,
    idle: Duration,
    timer: Timer,
    progress: Rc<Progress>,
    unread: Rc<Cell<bool>>,
    /// Reads a copy.
    reader: Option<SharedReader>,
}

/// How far an upload is; shared with whoever waits for the response.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) ended: Cell<bool>,
    /// When bytes last moved, by the worker's clock.
    pub(super) moved_ms: Cell<u64>,
    received_bytes: Cell<u64>,
}

/// How much of a request's body has come.
#[derive(Debug, Default)]
pub struct Received(Option<Rc<Progress>>);

impl Received {
    /// Up to now.
    pub fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |progress| progress.received_bytes.get())
    }

    /// Whether it has come whole or was given up, or there is none.
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_none_or(|progress| progress.ended.get())
    }
}

impl RequestBody {
    /// No body, which may be sent any number of times.
    pub fn empty() -> Self {
        RequestBody(None)
    }

    /// The body of a client's request, of at most `limit_bytes`. `unread` is set when it is given up before its end.
    pub fn new(
        incoming: Incoming,
        limit_bytes: Option<u64>,
        idle: Duration,
        clock: &Rc<Clock>,
        unread: &Rc<Cell<bool>>,
    ) -> Self {
        if incoming.is_end_stream() {
            return Self::empty();
        }
        let progress = Progress {
            ended: Cell::new(false),
            moved_ms: Cell::new(clock.now_ms()),
            received_bytes: Cell::new(0),
        };
        RequestBody(Some(Box::new(Upload {
            incoming,
            left_bytes: limit_bytes.unwrap_or(u64::MAX),
            idle,
            timer: Timer::new(clock),
            progress: Rc::new(progress),
            unread: Rc::clone(unread),
            reader: None,
        })))
    }

    /// Has a copy of it read while it passes.
    pub fn copy_to(&mut self, reader: &SharedReader) {
        match &mut self.0 {
            Some(upload) => upload.reader = Some(Rc::clone(reader)),
            None => reader.borrow_mut().end(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// To be asked for how much of it has come, also when it is gone.
    pub fn received(&self) -> Received {
        Received(self.progress())
    }

    pub(super) fn progress(&self) -> Option<Rc<Progress>> {
        self.0.as_ref().map(|upload| Rc::clone(&upload.progress))
    }
}

impl Upload {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) else {
            if !self.timer.is_armed() {
                self.timer.arm(self.idle);
            }
            return self.timer.poll_due(context).map(|()| Some(Err(BodyError::ClientIdle)));
        };
        self.timer.disarm();
        self.progress.moved_ms.set(self.timer.clock().now_ms());
        let mut frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) if is_malformed(&error) => {
                return Poll::Ready(Some(Err(BodyError::Malformed(error))));
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(BodyError::ClientGone(error)))),
            None => {
                self.progress.ended.set(true);
                if let Some(reader) = &self.reader {
                    copy(reader, None, true);
                }
                return Poll::Ready(None);
            }
        };
        frame.trailers_mut().map(clean_trailers);
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        self.progress.received_bytes.set(self.progress.received_bytes.get() + length);
        let Some(left_bytes) = self.left_bytes.checked_sub(length) else {
            return Poll::Ready(Some(Err(BodyError::TooLong)));
        };
        self.left_bytes = left_bytes;
        self.progress.ended.set(frame.is_trailers() || self.incoming.is_end_stream());
        if let Some(reader) = &self.reader {
            copy(reader, frame.data_ref(), self.progress.ended.get());
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

/// Reads a little of the copy; the rest is read by whoever wants its values.
fn copy(reader: &SharedReader, data: Option<&Bytes>, is_end: bool) {
    let mut reader = reader.borrow_mut();
    data.into_iter().for_each(|data| reader.take(data));
    reader.step();
    if is_end {
        reader.end();
    }
}

/// Whether what came is no body, rather than its end missing: so says the gate, or the library of what it reads itself.
fn is_malformed(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause
        .is_some_and(|cause| matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.progress.ended.replace(true) {
            self.unread.set(true);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Some(upload) => upload.poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|upload| upload.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or(SizeHint::with_exact(0), |upload| upload.incoming.size_hint())
    }
}

/// A response's body on its way to the client.
#[derive(Debug)]
pub enum ResponseBody {
    /// Nothing.
    Empty,
    /// A text of our own.
    Whole(Bytes),
    /// What the upstream sends.
    Upstream(Download),
    /// None: after this answer the connection is the tunnel's, to whom it must be given before.
    Tunnel(Box<Tunnel>),
}

/// The stream from an upstream, with the connection that it comes from.
#[derive(Debug)]
pub struct Download {
    incoming: Incoming,
    lease: Option<Lease>,
    idle: Duration,
    timer: Timer,
}

impl Download {
    pub(super) fn new(incoming: Incoming, lease: Lease, idle: Duration, clock: &Rc<Clock>) -> Self {
        Download { incoming, lease: Some(lease), idle, timer: Timer::new(clock) }
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) else {
            if !self.timer.is_armed() {
                self.timer.arm(self.idle);
            }
            return self.timer.poll_due(context).map(|()| Some(Err(BodyError::UpstreamIdle)));
        };
        self.timer.disarm();
        match frame {
            Some(Ok(mut frame)) => {
                frame.trailers_mut().map(clean_trailers);
                if self.incoming.is_end_stream() {
                    self.give_back();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.lease = None;
                Poll::Ready(Some(Err(BodyError::Upstream(error))))
            }
            None => {
                self.give_back();
                Poll::Ready(None)
            }
        }
    }

    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            ResponseBody::Empty | ResponseBody::Tunnel(_) => Poll::Ready(None),
            ResponseBody::Whole(text) => {
                let frame = Frame::data(std::mem::take(text));
                *self = ResponseBody::Empty;
                Poll::Ready(Some(Ok(frame)))
            }
            ResponseBody::Upstream(download) => download.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Empty | ResponseBody::Tunnel(_) => true,
            ResponseBody::Whole(text) => text.is_empty(),
            ResponseBody::Upstream(download) => download.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Empty | ResponseBody::Tunnel(_) => SizeHint::with_exact(0),
            ResponseBody::Whole(text) => SizeHint::with_exact(text.len() as u64),
            ResponseBody::Upstream(download) => download.incoming.size_hint(),
        }
    }
}
