//! Whether every message passes as HTTP says, byte for byte: a corpus of exact bytes, sent to this proxy, and where they
//! are installed to nginx and HAProxy. `conformance/*.toml` has the cases; docs/http-conformance.md shows what came of
//! them side by side.
//!
//! A case: `send` goes to the proxy, in these pieces; the shop gets the messages `shop` (absent: exactly what was sent
//! when the answer is no error, else nothing; added forwarding fields left out, chunks joined) and answers `reply`, then
//! does `reply_end`. The client gets answers of these `status` (absent: one 200; `heads` says which answer a HEAD), the
//! last one `answer`, `complete` or not; then its connection `end`s kept, closed (absent: after an error), or open: no
//! answer yet. `why` explains what another proxy does differently. In bytes `\{x*3}` is `xxx`, `\{shop}` the shop's
//! address, and a line break nothing.

mod bytes;
mod case;
mod neighbours;
mod table;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::case::{Case, End, Maybe, ReplyEnd};
use self::neighbours::Neighbours;
use crate::harness::{Client, Received, Reply, Upstream, config, proxy, skip};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// A shop that answers what the case at hand says.
struct Stage {
    upstream: Upstream,
    reply: Arc<Mutex<Reply>>,
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    /// Statuses of the answers, interim ones left out.
    status: Vec<u16>,
    /// The last answer: head and body, chunks joined.
    answer: Vec<u8>,
    trailers: Vec<String>,
    complete: bool,
    end: End,
    /// Messages that reached the shop, without the fields that proxies add.
    shop: Vec<Vec<u8>>,
}

impl Stage {
    async fn build() -> Self {
        let reply = Arc::new(Mutex::new(Reply::ok("ok")));
        let current = Arc::clone(&reply);
        let upstream = Upstream::start(move |request| {
            if request.target() == "/probe" { Reply::ok("probe") } else { current.lock().unwrap().clone() }
        })
        .await;
        Stage { upstream, reply }
    }

    async fn play(&self, case: &Case, address: std::net::SocketAddr) -> Outcome {
        self.upstream.take_received();
        *self.reply.lock().unwrap() = reply(case);
        let mut client = Client::connect(address).await;
        for (number, piece) in self.pieces(case).iter().enumerate() {
            if number > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if client.try_send(piece).await.is_err() {
                break;
            }
        }
        let want = case.status();
        let mut outcome = Outcome {
            status: Vec::new(),
            answer: Vec::new(),
            trailers: Vec::new(),
            complete: true,
            end: End::Open,
            shop: Vec::new(),
        };
        let answers = want.as_ref().map_or(1, Vec::len);
        let patience = if answers == 0 { Duration::from_millis(300) } else { PATIENCE };
        while outcome.status.len() < answers.max(1) {
            let is_head = case.heads.contains(&(outcome.status.len() + 1));
            match tokio::time::timeout(patience, client.try_answer(!is_head)).await {
                Ok(Some(answer)) if (100..200).contains(&answer.status()) && answer.status() != 101 => {}
                Ok(Some(answer)) => {
                    outcome.status.push(answer.status());
                    outcome.complete = answer.complete;
                    outcome.answer = bytes::of_latin_1(&format!("{}\r\n\r\n", answer.head));
                    outcome.answer.extend(&answer.body);
                    outcome.trailers = answer.trailers;
                }
                Ok(None) => {
                    outcome.end = End::Closed;
                    break;
                }
                Err(_) => break,
            }
        }
        if outcome.end == End::Open && !outcome.status.is_empty() {
            outcome.end = if is_kept(&mut client).await { End::Kept } else { End::Closed };
        }
        let received = self.upstream.take_received();
        outcome.shop = received.iter().filter(|message| message.target() != "/probe").map(message).collect();
        outcome
    }

    fn pieces(&self, case: &Case) -> Vec<Vec<u8>> {
        case.send.iter().map(|text| self.decode(text)).collect()
    }

    fn decode(&self, text: &str) -> Vec<u8> {
        bytes::decode(text, &self.upstream.address().to_string())
    }

    /// What is wrong with an outcome.
    fn faults(&self, case: &Case, outcome: &Outcome) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |what: &str, want: String, have: String| {
            if want != have {
                faults.push(format!("{what}\n    want {want}\n    have {have}"));
            }
        };
        let status = case.status();
        if let Some(want) = &status {
            check("status", format!("{want:?}"), format!("{:?}", outcome.status));
        }
        if let Maybe::Is(want) = case.end(&outcome.status) {
            check("end", format!("{want:?}"), format!("{:?}", outcome.end));
        }
        if let Maybe::Is(want) = case.complete() {
            check("complete", want.to_string(), outcome.complete.to_string());
        }
        if let Some(answer) = &case.answer {
            check("answer", bytes::shown(&self.decode(answer)), bytes::shown(&outcome.answer));
        }
        check("trailers", format!("{:?}", case.trailers), format!("{:?}", outcome.trailers));
        let sent = || vec![self.pieces(case).concat()];
        let want = match case.shop() {
            Maybe::Is(Some(messages)) => Some(messages.iter().map(|text| self.decode(text)).collect()),
            Maybe::Is(None) if outcome.status.iter().all(|status| *status < 400) || case.is_same() => {
                Some(sent())
            }
            Maybe::Is(None) => Some(Vec::new()),
            Maybe::Any => None,
        };
        if let Some(want) = want {
            let shown = |messages: &[Vec<u8>]| -> Vec<String> {
                messages.iter().map(|message| bytes::shown(message)).collect()
            };
            check("shop", shown(&want).join("\n         "), shown(&outcome.shop).join("\n         "));
        }
        faults
    }
}

/// Whether the connection takes another request.
async fn is_kept(client: &mut Client) -> bool {
    if client.try_send(b"GET /probe HTTP/1.1\r\nHost: shop.test\r\n\r\n").await.is_err() {
        return false;
    }
    let answer = tokio::time::timeout(PATIENCE, client.try_answer(true)).await;
    answer.is_ok_and(|answer| answer.is_some_and(|answer| answer.body == b"probe"))
}

fn reply(case: &Case) -> Reply {
    let Some(text) = &case.reply else { return Reply::ok("ok") };
    let reply = Reply::raw(bytes::decode(text, ""));
    match case.reply_end {
        ReplyEnd::Keep => reply,
        ReplyEnd::Close => reply.close(),
        // What was written shall be read before.
        ReplyEnd::Reset => reply.pause(Duration::from_millis(50)).reset(),
        ReplyEnd::Early => reply.early(),
    }
}

/// A message as the shop got it, without the fields that proxies add.
fn message(received: &Received) -> Vec<u8> {
    let is_added = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        name.starts_with("x-forwarded-") || name == "x-real-ip"
    };
    let lines: Vec<&str> = received.head.split("\r\n").filter(|line| !is_added(line)).collect();
    let mut message = bytes::of_latin_1(&lines.join("\r\n"));
    message.extend(&received.body);
    message
}

#[tokio::test]
async fn every_message_of_the_corpus_passes_as_it_should() {
    let cases = case::all();
    assert!(cases.len() >= 120, "{}", cases.len());
    let stage = Stage::build().await;
    let proxy = proxy(config(&[stage.upstream.address()]));
    let mut faults = Vec::new();
    for case in &cases {
        let outcome = stage.play(case, proxy.address()).await;
        let own = stage.faults(case, &outcome);
        if !own.is_empty() {
            faults.push(format!("{}: {}\n  {}", case.file, case.name, own.join("\n  ")));
        }
    }
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

#[tokio::test]
async fn what_nginx_and_haproxy_do_differently_is_explained() {
    let stage = Stage::build().await;
    let Some(neighbours) = Neighbours::start(stage.upstream.address()).await else {
        return skip("nginx or HAProxy is not installed");
    };
    let proxy = proxy(config(&[stage.upstream.address()]));
    let mut rows = Vec::new();
    for case in case::all() {
        let ours = stage.play(&case, proxy.address()).await;
        let nginx = stage.play(&case, neighbours.nginx).await;
        let haproxy = stage.play(&case, neighbours.haproxy).await;
        rows.push(table::Row::new(case, &ours, [&nginx, &haproxy]));
    }
    let text = table::page(&rows);
    if std::env::var_os("UTM_DISPATCHER_WRITE_DOCS").is_some() {
        std::fs::write(table::PATH, &text).unwrap();
    }
    let unexplained: Vec<&str> =
        rows.iter().filter(|row| row.is_unexplained()).map(table::Row::line).collect();
    assert!(unexplained.is_empty(), "these need a `why`:\n{}", unexplained.join("\n"));
}

#[test]
fn the_page_shows_every_case() {
    let page = std::fs::read_to_string(table::PATH).unwrap();
    for case in case::all() {
        assert!(page.contains(&format!("| {} |", case.name)), "{} is missing: {}", case.name, table::COMMAND);
    }
}
