//! Upgrades (RFC 9110 section 7.8): which ones are passed on, and the bytes of both sides when the upstream has switched.
//!
//! Raw only after the upstream's 101 to a request that asked for it: whoever believes a client that it is no HTTP any more
//! lets it smuggle requests.

use std::any::Any;
use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Response, Version};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy, split};

use super::connection::Switched;
use super::refusal::Refusal;
use crate::clock::{Clock, TICK_MS, Timer};

/// What a client asks to switch to: the value of its `Upgrade`.
#[derive(Debug, Clone)]
pub struct Upgrade(HeaderValue);

impl Upgrade {
    /// Whether a request asks for an upgrade that is passed on; to be asked before its fields are cleaned.
    ///
    /// # Errors
    ///
    /// When it has a body: upstreams differ in where that ends.
    pub fn asked(head: &Parts) -> Result<Option<Self>, Refusal> {
        if head.version != Version::HTTP_11 {
            return Ok(None);
        }
        let Some(value) = head.headers.get(header::UPGRADE) else { return Ok(None) };
        let is_meant = head.headers.get_all(header::CONNECTION).iter().any(|line| {
            line.as_bytes().split(|byte| *byte == b',').any(|token| is(token.trim_ascii(), "upgrade"))
        });
        let is_alone = head.headers.get_all(header::UPGRADE).iter().nth(1).is_none();
        if !is_meant || !is_alone || !tokens(value).all(may_be_switched_to) {
            return Ok(None);
        }
        let has_length = head.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
        if has_length || head.headers.contains_key(header::TRANSFER_ENCODING) {
            return Err(Refusal::Body);
        }
        Ok(Some(Upgrade(value.clone())))
    }

    /// Asks the upstream.
    pub fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, self.0.clone());
    }

    /// Whether a 101 switches to something that was asked for.
    pub(super) fn is_granted<B>(asked: Option<&HeaderValue>, response: &Response<B>) -> bool {
        let (Some(asked), Some(granted)) = (asked, response.headers().get(header::UPGRADE)) else {
            return false;
        };
        let mut granted = tokens(granted).peekable();
        granted.peek().is_some()
            && granted.all(|granted| tokens(asked).any(|asked| asked.eq_ignore_ascii_case(granted)))
    }
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Not other versions of HTTP, in which requests would pass unseen, nor TLS.
fn may_be_switched_to(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    !["h2", "h2c", "http", "tls"].iter().any(|other| is(name, other))
}

fn is(token: &[u8], word: &str) -> bool {
    token.eq_ignore_ascii_case(word.as_bytes())
}

/// The upstream's end of a tunnel.
#[derive(Debug)]
pub struct Tunnel {
    upstream: Switched,
    passed: Rc<Passed>,
    companion: Option<Box<dyn Any>>,
}

/// How many bytes a tunnel has passed on.
#[derive(Debug, Default)]
pub struct Passed {
    /// From the client.
    pub up: Cell<u64>,
    /// To it.
    pub down: Cell<u64>,
}

impl Tunnel {
    pub(super) fn new(upstream: Switched) -> Self {
        Tunnel { upstream, passed: Rc::default(), companion: None }
    }

    /// What it counts with; also of use when it is gone.
    pub fn passed(&self) -> Rc<Passed> {
        Rc::clone(&self.passed)
    }

    /// Keeps what is to end with the tunnel.
    pub fn keep(&mut self, companion: Box<dyn Any>) {
        self.companion = Some(companion);
    }

    /// Passes bytes on until the upstream has ended, one side has failed, or neither has sent anything for `idle`; a
    /// client that has ended still hears what the upstream says. `from_client` came behind the request.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        client: &mut S,
        from_client: Bytes,
        idle: Duration,
        clock: &Rc<Clock>,
    ) {
        let Tunnel { upstream, passed, companion: _companion } = self;
        let Switched { stream: mut upstream, leftover: from_upstream, .. } = upstream;
        passed.up.set(from_client.len() as u64);
        let moved_ms = Cell::new(clock.now_ms());
        let client = Watched { stream: client, clock, moved_ms: &moved_ms, passed: &passed };
        let (mut client_says, mut to_client) = split(client);
        let (mut upstream_says, mut to_upstream) = split(&mut upstream);
        let up = async {
            to_upstream.write_all(&from_client).await?;
            to_upstream.flush().await?;
            copy(&mut client_says, &mut to_upstream).await?;
            to_upstream.shutdown().await?;
            pending().await
        };
        let down = async {
            to_client.write_all(&from_upstream).await?;
            to_client.flush().await?;
            copy(&mut upstream_says, &mut to_client).await?;
            to_client.flush().await
        };
        let passing = async {
            tokio::select! {
                outcome = up => outcome,
                outcome = down => outcome,
            }
        };
        match unless_idle(passing, &moved_ms, idle, clock).await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%error, "a tunnel ended early"),
            None => tracing::debug!("a tunnel was idle for too long"),
        }
    }
}

/// None when nothing has moved for `idle`.
async fn unless_idle<F: Future>(
    passing: F,
    moved_ms: &Cell<u64>,
    idle: Duration,
    clock: &Rc<Clock>,
) -> Option<F::Output> {
    let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
    let mut timer = Timer::new(clock);
    timer.arm(idle);
    let mut passing = pin!(passing);
    poll_fn(|context| {
        if let Poll::Ready(outcome) = passing.as_mut().poll(context) {
            return Poll::Ready(Some(outcome));
        }
        while timer.poll_due(context).is_ready() {
            let due_ms = moved_ms.get().saturating_add(idle_ms).saturating_add(TICK_MS);
            if due_ms <= clock.now_ms() {
                return Poll::Ready(None);
            }
            timer.arm_at(due_ms);
        }
        Poll::Pending
    })
    .await
}

/// The client's side, with the time at which it moved last and what has passed.
struct Watched<'a, S> {
    stream: S,
    clock: &'a Clock,
    moved_ms: &'a Cell<u64>,
    passed: &'a Passed,
}

impl<S> Watched<'_, S> {
    fn note<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.moved_ms.set(self.clock.now_ms());
        }
        outcome
    }
}

fn add(sum: &Cell<u64>, bytes: usize) {
    sum.set(sum.get() + bytes as u64);
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        add(&self.passed.up, buffer.filled().len() - before);
        self.note(outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = outcome {
            add(&self.passed.down, count);
        }
        self.note(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asked(fields: &[(&str, &str)]) -> Result<bool, Refusal> {
        let mut request = Request::get("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        Upgrade::asked(&request.body(()).unwrap().into_parts().0).map(|upgrade| upgrade.is_some())
    }

    #[test]
    fn only_what_is_meant_and_is_no_other_http_is_asked_for() {
        let meant = ("connection", "keep-alive, Upgrade");
        assert!(asked(&[meant, ("upgrade", "websocket")]).unwrap());
        assert!(asked(&[meant, ("upgrade", "IRC/6.9, RTA/x11")]).unwrap());
        assert!(!asked(&[("upgrade", "websocket")]).unwrap());
        assert!(!asked(&[("connection", "upgraded"), ("upgrade", "websocket")]).unwrap());
        for other in ["h2c", "H2C, websocket", "HTTP/2.0", "TLS/1.0"] {
            assert!(!asked(&[meant, ("upgrade", other)]).unwrap(), "{other}");
        }
    }

    #[test]
    fn a_body_and_an_upgrade_do_not_go_together() {
        let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
        for body in [("content-length", "5"), ("content-length", "+0"), ("transfer-encoding", "chunked")] {
            assert!(matches!(asked(&[upgrade[0], upgrade[1], body]), Err(Refusal::Body)), "{body:?}");
        }
        assert!(asked(&[upgrade[0], upgrade[1], ("content-length", "0")]).unwrap());
    }

    #[test]
    fn only_what_was_asked_for_is_granted() {
        let granted = |asked: Option<&'static str>, granted: &str| {
            let response = Response::builder().header("upgrade", granted).body(()).unwrap();
            Upgrade::is_granted(asked.map(HeaderValue::from_static).as_ref(), &response)
        };
        assert!(granted(Some("websocket"), "WebSocket"));
        assert!(granted(Some("a, b"), "b"));
        assert!(!granted(Some("websocket"), "h2c"));
        assert!(!granted(Some("websocket"), ""));
        assert!(!granted(None, "websocket"));
    }
}
