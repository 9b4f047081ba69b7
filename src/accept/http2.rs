//! HTTP/2 on one connection: each request is a stream of its own, and the connection ends when none has come for long.
//!
//! What a client may cost is bounded: streams at a time, the size of heads, what waits for a client that does not take it
//! (by bytes, and by time: a stream is reset whose client takes nothing for `response_idle`). Floods of resets, settings,
//! pings and continuations are the library's to count.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;
use super::send_timer::SendTimer;
use crate::clock::{Clock, Timer};
use crate::config;
use crate::forward::Socket;

/// Requests at a time on one connection; browsers are content with a hundred.
const MAX_STREAMS: u32 = 100;
/// What a client may send of one body before it is read: enough for 50 Mbit/s at 40 ms.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for all bodies of a connection.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// What is kept of a response's body until the client takes it.
const MAX_SEND_BUFFER: usize = 64 << 10;
/// Streams that the client has reset and that are still being let go of.
const MAX_PENDING_RESETS: usize = 20;
/// Streams that we have reset, for what the client did, before the connection ends.
const MAX_OWN_RESETS: usize = 200;
/// How long a connection that was told to end may stay without a request.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Serves requests until the client goes away or the connection is not worth keeping. Answers the socket, to be closed
/// with care: whoever is still reading sends something now and then.
pub(super) async fn serve<A, F, B>(
    connection: &Rc<Connection>,
    socket: Socket,
    config: &config::Proxy,
    clock: &Rc<Clock>,
    answer: A,
) -> hyper::Result<Socket>
where
    A: Fn(Rc<Connection>, Request<Incoming>) -> F,
    F: Future<Output = Response<B>> + 'static,
    B: Body + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let timeouts = config.timeouts;
    let streams = Rc::new(Streams::default());
    let service = service_fn(|request: Request<Incoming>| {
        let patience = streams.begin(clock, timeouts.response_idle);
        let is_head = request.method() == Method::HEAD;
        let answer = Box::pin(answer(Rc::clone(connection), request));
        async move {
            let mut response = answer.await;
            if is_head {
                tell_length(&mut response);
            }
            patience.await_client();
            Ok::<_, Infallible>(response.map(|body| StreamAnswer { body, is_head, patience }))
        }
    });
    let is_sending = Rc::default();
    let mut stream = TimedStream {
        socket,
        send_timer: SendTimer::new(timeouts.response_idle, clock),
        is_sending: Rc::clone(&is_sending),
    };
    let io = TokioIo::new(&mut stream);
    let mut serving = Box::pin(builder(config, &streams).serve_connection(io, service));
    let mut end = End { timer: Timer::new(clock), idle: timeouts.first_byte, is_near: false };
    let outcome = poll_fn(|context| {
        loop {
            if let Poll::Ready(outcome) = serving.as_mut().poll(context) {
                return Poll::Ready(outcome);
            }
            if streams.any_began.get() {
                end.idle = timeouts.keep_alive;
            }
            streams.connection.replace(Some(context.waker().clone()));
            // A stream has ended for us when the last of it waits to be sent.
            let is_busy = streams.open.get() > 0 || is_sending.get();
            match end.poll(context, is_busy, connection.is_draining()) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Verdict::SayGoodbye) => serving.as_mut().graceful_shutdown(),
                Poll::Ready(Verdict::Cut) => return Poll::Ready(Ok(())),
            }
        }
    })
    .await;
    drop(serving);
    outcome.map(|()| stream.socket)
}

/// Of a body that is not sent, which hyper does not see to in HTTP/2.
fn tell_length<B: Body>(response: &mut Response<B>) {
    let length = response.body().size_hint().exact().filter(|_| !response.body().is_end_stream());
    if let Some(length) = length {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
}

fn builder(config: &config::Proxy, streams: &Rc<Streams>) -> http2::Builder<StreamTasks> {
    let head_bytes = config.limits.header_bytes + config.limits.uri_bytes;
    let mut builder = http2::Builder::new(StreamTasks(Rc::clone(streams)));
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_OWN_RESETS);
    builder
}

/// When a connection ends: first the client is told that no more requests are taken, then it is cut.
struct End {
    /// Runs while there is no request.
    timer: Timer,
    /// How long there may be none.
    idle: Duration,
    /// Whether the client was told.
    is_near: bool,
}

enum Verdict {
    SayGoodbye,
    Cut,
}

impl End {
    fn poll(&mut self, context: &Context<'_>, is_busy: bool, is_draining: bool) -> Poll<Verdict> {
        if is_busy {
            self.timer.disarm();
        } else if !self.timer.is_armed() {
            self.timer.arm(if self.is_near { LAST_CALL } else { self.idle });
        }
        // Also waits to be woken when the worker drains.
        let is_due = self.timer.poll_due(context).is_ready();
        if is_due && self.is_near {
            return Poll::Ready(Verdict::Cut);
        }
        if (is_due || is_draining) && !self.is_near {
            self.is_near = true;
            self.timer.disarm();
            return Poll::Ready(Verdict::SayGoodbye);
        }
        Poll::Pending
    }
}

/// The requests of one connection.
#[derive(Default)]
struct Streams {
    open: Cell<usize>,
    any_began: Cell<bool>,
    /// Woken when the last one has ended.
    connection: RefCell<Option<Waker>>,
    /// Of the stream that has begun and whose task has not.
    newest: RefCell<Option<Rc<Patience>>>,
}

impl Streams {
    fn begin(&self, clock: &Rc<Clock>, send_idle: Duration) -> Rc<Patience> {
        let patience = Rc::new(Patience { timer: RefCell::new(Timer::new(clock)), send_idle });
        self.any_began.set(true);
        *self.newest.borrow_mut() = Some(Rc::clone(&patience));
        patience
    }
}

/// How long a client is waited for that takes nothing of its response.
struct Patience {
    timer: RefCell<Timer>,
    send_idle: Duration,
}

impl Patience {
    /// Something is there for the client.
    fn await_client(&self) {
        self.timer.borrow_mut().arm(self.send_idle);
    }

    /// The client has taken what was there.
    fn await_upstream(&self) {
        self.timer.borrow_mut().disarm();
    }
}

/// Has each stream served by a task.
#[derive(Clone)]
struct StreamTasks(Rc<Streams>);

impl<T: Future + 'static> Executor<T> for StreamTasks {
    fn execute(&self, stream: T) {
        let streams = Rc::clone(&self.0);
        // Hyper asks for the task right after it has asked for the answer.
        let patience = streams.newest.take();
        streams.open.set(streams.open.get() + 1);
        tokio::task::spawn_local(StreamTask { stream: Box::pin(stream), patience, streams });
    }
}

/// One stream from its request to the end of its response; dropped before, the stream is reset.
struct StreamTask<T> {
    stream: Pin<Box<T>>,
    patience: Option<Rc<Patience>>,
    streams: Rc<Streams>,
}

impl<T: Future> Future for StreamTask<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        match &self.patience {
            Some(patience) => patience.timer.borrow_mut().poll_due(context),
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for StreamTask<T> {
    fn drop(&mut self) {
        let open = self.streams.open.get() - 1;
        self.streams.open.set(open);
        if open == 0
            && let Some(connection) = self.streams.connection.take()
        {
            connection.wake();
        }
    }
}

/// A response's body; it is asked for more when the client has room for it.
struct StreamAnswer<B> {
    body: B,
    /// Then the body is not sent.
    is_head: bool,
    patience: Rc<Patience>,
}

impl<B: Body + Unpin> Body for StreamAnswer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.is_head {
            return Poll::Ready(None);
        }
        self.patience.await_upstream();
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_ready() {
            self.patience.await_client();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.is_head || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_head { SizeHint::with_exact(0) } else { self.body.size_hint() }
    }
}

/// The socket, with the time that a client may take nothing at all.
struct TimedStream {
    socket: Socket,
    send_timer: SendTimer,
    /// The client has not taken all that there is for it.
    is_sending: Rc<Cell<bool>>,
}

impl TimedStream {
    fn watch<T>(&mut self, context: &Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.is_sending.set(sent.is_pending());
        self.send_timer.watch(context, sent)
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_write(context, bytes);
        this.watch(context, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_write_vectored(context, slices);
        this.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_flush(context);
        this.watch(context, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_shutdown(context);
        this.watch(context, outcome)
    }
}
