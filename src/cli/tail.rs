//! `tail`: the last requests and those coming, each with its verdict and the reasons, as the running program tells them on
//! its stats port.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args as ClapArgs;
use http::header::{AUTHORIZATION, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::config;

/// How long one question waits for something new, seconds.
const WAIT_S: u64 = 20;
/// Longest answer.
const ANSWER_BYTES: usize = 16 << 20;
/// Longest time for an answer beyond the wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is shown.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Only requests from the address that this asks from: this machine's
    #[arg(long)]
    me: bool,
    /// How many of the last requests to begin with
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=500))]
    number: u16,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// A token of the stats port with scope read, where it needs one
    #[arg(long, env = "UTM_DISPATCHER_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Prints until it is ended, or until nobody reads it.
pub(super) fn run(config: &Path, args: &Args) -> anyhow::Result<()> {
    let config = config::load(config)?;
    let server = reachable(config.stats.listen);
    super::in_office(follow(server, args))
}

/// Where a socket that listens everywhere can be reached from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => (Ipv4Addr::LOCALHOST, listen.port()).into(),
        IpAddr::V6(address) if address.is_unspecified() => (Ipv6Addr::LOCALHOST, listen.port()).into(),
        _ => listen,
    }
}

async fn follow(server: SocketAddr, args: &Args) -> anyhow::Result<()> {
    let me = if args.me { "&me=true" } else { "" };
    // Asked for none, the answer still tells from where on to follow.
    let first = ask(server, args, &format!("limit={}{me}", args.number.max(1))).await?;
    let results = first["results"].as_array().map_or(&[][..], Vec::as_slice);
    if !show(if args.number == 0 { &[] } else { results }, args.json)? {
        return Ok(());
    }
    if results.is_empty() && !args.json {
        eprintln!("noted from now on; Ctrl-C ends this");
    }
    let mut next = first["meta"]["next"].as_u64().unwrap_or(0);
    loop {
        let answer = ask(server, args, &format!("after={next}&wait={WAIT_S}&limit=500{me}")).await?;
        if !show(answer["results"].as_array().map_or(&[][..], Vec::as_slice), args.json)? {
            return Ok(());
        }
        next = answer["meta"]["next"].as_u64().unwrap_or(next);
    }
}

async fn ask(server: SocketAddr, args: &Args, query: &str) -> anyhow::Result<Value> {
    let mut request = Request::get(format!("/api/v1/inspect?{query}")).header(HOST, server.to_string());
    if let Some(token) = &args.token {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.trim()));
    }
    let asked = exchange(server, request.body(Empty::new())?);
    let (status, body) = tokio::time::timeout(Duration::from_secs(WAIT_S) + PATIENCE, asked)
        .await
        .with_context(|| format!("no answer from {server}"))?
        .with_context(|| format!("asking the stats port at {server}; does the program run?"))?;
    match status {
        StatusCode::OK => serde_json::from_slice(&body).context("the answer is no JSON"),
        StatusCode::UNAUTHORIZED => {
            bail!("the stats port needs a token: --token, or UTM_DISPATCHER_TOKEN in the environment")
        }
        status => {
            let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
            let detail = problem["detail"].as_str().map(|detail| format!(": {detail}")).unwrap_or_default();
            bail!("the stats port answered {status}{detail}")
        }
    }
}

async fn exchange(server: SocketAddr, request: Request<Empty<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect(server).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(anyhow::Error::from_boxed)?;
    Ok((head.status, body.to_bytes()))
}

/// Prints requests; false when nobody reads any more.
fn show(notes: &[Value], as_json: bool) -> anyhow::Result<bool> {
    let mut out = std::io::stdout().lock();
    for note in notes {
        let text = if as_json { note.to_string() } else { told(note) };
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(false),
            outcome => outcome?,
        }
    }
    Ok(true)
}

/// A request for people: what came, the verdict with its reasons, who it was.
fn told(note: &Value) -> String {
    let text = |name: &str| note[name].as_str().unwrap_or_default();
    let time = text("at").get(11..19).unwrap_or_default();
    let mut lines = format!(
        "{time} {} {} {}{}\n         {}",
        note["status"],
        text("method"),
        text("host"),
        text("target"),
        list(&note["why"], "; "),
    );
    if let Some(forwarded) = note["forwarded"].as_str() {
        lines.push_str(&format!("\n         the shop gets {forwarded}"));
    }
    if text("identity") != "none" {
        let session = text("session").replace('_', " ");
        lines.push_str(&format!(
            "\n         visitor {} {}, session {session} {}, cookie {}",
            text("identity"),
            text("visitor_id"),
            text("session_id"),
            text("cookie").replace('_', " "),
        ));
    }
    let actions = list(&note["actions"], ", ");
    if !actions.is_empty() {
        lines.push_str(&format!("\n         actions: {actions}"));
    }
    lines
}

fn list(values: &Value, between: &str) -> String {
    let words: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    words.join(between)
}
