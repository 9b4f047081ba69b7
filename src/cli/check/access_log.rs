//! What would become of the requests of a log: each goes through the same code as if it came now.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use anyhow::Context;
use flate2::bufread::MultiGzDecoder;
use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Version};

use super::logged::{Logged, read};
use crate::accept::Gate;
use crate::capture::mask;
use crate::capture::query::strip;
use crate::config::{Config, TrackingMode};
use crate::forward::{Refusal, head};
use crate::route::Router;

/// Longest line that is looked at, bytes.
const LINE_BYTES: u64 = 1 << 20;
/// Examples of each kind.
const EXAMPLES: usize = 3;
/// Longest method in an example, characters. Those in use have up to 17.
const METHOD_CHARS: usize = 20;
/// Longest path in an example, characters.
const PATH_CHARS: usize = 80;
/// Where the log does not say for which host a request was.
const UNKNOWN_HOST: &str = "shop.invalid";
/// What is enough for any head that is made up here.
const ROOM: usize = 1 << 20;

/// What a log has been found to hold.
#[derive(Debug, Default)]
struct Findings {
    lines: u64,
    requests: u64,
    unreadable: Kind,
    /// By reason, with the status that they would get.
    refused: BTreeMap<(&'static str, u16), Kind>,
    changed: BTreeMap<&'static str, Kind>,
    noted: BTreeMap<&'static str, Kind>,
}

#[derive(Debug, Default)]
struct Kind {
    count: u64,
    /// How many of them were answered with less than 400.
    answered: u64,
    examples: Vec<String>,
}

impl Kind {
    fn add(&mut self, number: u64, logged: Option<&Logged>) {
        self.count += 1;
        let status = logged.and_then(|logged| logged.status);
        self.answered += u64::from(status.is_some_and(|status| status < 400));
        if self.examples.len() < EXAMPLES {
            let line = logged.map(|logged| masked(&logged.line)).unwrap_or_default();
            self.examples.push(format!("line {number}: {line}"));
        }
    }
}

/// Reads the log and prints what was found.
pub(super) fn run(config: &Config, path: &Path) -> anyhow::Result<()> {
    let mut reader = open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let router = Router::new(config);
    let mut findings = Findings::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = reader
            .by_ref()
            .take(LINE_BYTES)
            .read_until(b'\n', &mut line)
            .with_context(|| format!("cannot read {}", path.display()))?;
        if count == 0 {
            break;
        }
        findings.look(&line, config, &router);
    }
    findings.print(path, &mut std::io::stdout().lock()).context("cannot print")
}

fn open(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    let mut reader: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(path)?))
    };
    let is_gzip = reader.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if is_gzip { Box::new(BufReader::new(MultiGzDecoder::new(reader))) } else { reader })
}

impl Findings {
    fn look(&mut self, line: &[u8], config: &Config, router: &Router) {
        self.lines += 1;
        if line.trim_ascii().is_empty() {
            return;
        }
        let Some(logged) = read(line) else { return self.unreadable.add(self.lines, None) };
        // What servers write where no request came, such as after a timeout.
        if matches!(&*logged.line, b"-" | b"") {
            return self.noted.entry("no request came on the connection").or_default().add(self.lines, None);
        }
        self.requests += 1;
        let (number, mut line) = (self.lines, logged.line.clone());
        if [b" HTTP/2.0".as_slice(), b" HTTP/2", b" HTTP/3.0", b" HTTP/3"]
            .iter()
            .any(|end| line.ends_with(end))
        {
            let kind = "came over HTTP/2 or 3: something in front must speak it, or [[proxy.tls]] be there";
            self.noted.entry(kind).or_default().add(number, Some(&logged));
            let end = line.iter().rposition(|byte| *byte == b' ').unwrap_or(line.len());
            line.truncate(end);
            line.extend_from_slice(b" HTTP/1.1");
        }
        match verdict(&line, logged.host.as_deref(), config, router) {
            Ok(changes) => {
                for change in changes {
                    self.changed.entry(change).or_default().add(number, Some(&logged));
                }
            }
            Err(refusal) => {
                let kind = (refusal.reason(), refusal.status().as_u16());
                self.refused.entry(kind).or_default().add(number, Some(&logged));
            }
        }
    }

    fn print(&self, path: &Path, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "# {}: {} lines, {} requests", path.display(), self.lines, self.requests)?;
        writeln!(out, "\nrefused: {}", sum(self.refused.values()))?;
        for ((reason, status), kind) in &self.refused {
            kind.print(&format!("{reason}, answered with {status}"), out)?;
        }
        writeln!(out, "\nchanged: {}", sum(self.changed.values()))?;
        for (change, kind) in &self.changed {
            kind.print(change, out)?;
        }
        if !self.noted.is_empty() {
            writeln!(out, "\nto be known:")?;
        }
        for (note, kind) in &self.noted {
            kind.print(note, out)?;
        }
        writeln!(out, "\nlines that could not be read: {}", self.unreadable.count)?;
        for example in &self.unreadable.examples {
            writeln!(out, "    {}", example.trim_end_matches(": "))?;
        }
        Ok(())
    }
}

impl Kind {
    fn print(&self, title: &str, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(
            out,
            "  {}  {title} ({} of them were answered with less than 400)",
            self.count, self.answered
        )?;
        self.examples.iter().try_for_each(|example| writeln!(out, "      {example}"))
    }
}

fn sum<'a>(kinds: impl Iterator<Item = &'a Kind>) -> u64 {
    kinds.map(|kind| kind.count).sum()
}

/// What would be changed of a request, or why it would be refused.
fn verdict(
    line: &[u8],
    host: Option<&str>,
    config: &Config,
    router: &Router,
) -> Result<Vec<&'static str>, Refusal> {
    let limits = config.proxy.limits;
    let logged_target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let host = host.map_or_else(|| authority_of(logged_target), |host| host.as_bytes());
    let passed = pass_gate(&[line, b"\r\nHost: ", host, b"\r\n\r\n"].concat(), config)?;
    let mut head = parsed(&passed, host).ok_or(Refusal::Target)?;
    let mut changes = Vec::new();
    if passed.split(|byte| *byte == b' ').nth(1) != Some(logged_target) {
        changes.push("bytes of the target that no URL may have are percent-encoded, a fragment is cut off");
    }
    let is_absolute = head.uri.scheme().is_some();
    let authority = head::check(&mut head, &limits)?;
    if is_absolute {
        changes.push("an absolute target becomes its path, its host goes into Host");
    }
    if config.proxy.health_path.as_deref() == Some(head.uri.path()) {
        changes.push("the proxy answers it itself (health_path)");
        return Ok(changes);
    }
    let route = router.find(&authority.host(), head.uri.path());
    let is_stripped = config.tracking.mode != TrackingMode::Off
        && route.tracking
        && matches!(head.method, Method::GET | Method::HEAD)
        && head
            .uri
            .path_and_query()
            .is_some_and(|target| strip(target.as_str().as_bytes(), &route.strip).is_some());
    if is_stripped {
        changes.push("parameters are taken off its query (strip)");
    }
    Ok(changes)
}

fn authority_of(target: &[u8]) -> &[u8] {
    let after = ["http://", "https://"].iter().find_map(|scheme| target.strip_prefix(scheme.as_bytes()));
    after.map_or(UNKNOWN_HOST.as_bytes(), |rest| {
        rest.split(|byte| b"/?#".contains(byte)).next().unwrap_or(rest)
    })
}

/// What the gate before the HTTP parser makes of a head.
fn pass_gate(request: &[u8], config: &Config) -> Result<Vec<u8>, Refusal> {
    let mut gate = Gate::new(config.proxy.limits, Default::default());
    let at_once = gate.admit(request);
    let mut passed = request[..at_once].to_vec();
    gate.give(ROOM, |bytes| passed.extend_from_slice(bytes));
    match gate.take_refused() {
        Some(refused) => Err(refused.refusal),
        None => Ok(passed),
    }
}

/// The head as the HTTP parser would give it to the proxy.
fn parsed(passed: &[u8], host: &[u8]) -> Option<Parts> {
    let line = passed.split(|byte| *byte == b'\r').next()?;
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let version = if version == b"HTTP/1.0" { Version::HTTP_10 } else { Version::HTTP_11 };
    let request = Request::builder().method(method).uri(target).version(version);
    let request = request.header(HOST, HeaderValue::from_bytes(host).ok()?);
    Some(request.body(()).ok()?.into_parts().0)
}

/// Method and path, as the running proxy's access log has them; of a query that there is one, of what is no request line
/// the length.
fn masked(line: &[u8]) -> String {
    shown(line).unwrap_or_else(|| format!("no request line, {} bytes", line.len()))
}

fn shown(line: &[u8]) -> Option<String> {
    let (method, rest) = line.split_at(line.iter().position(|byte| *byte == b' ')?);
    let target = rest.trim_ascii_start().split(|byte| *byte == b' ').next()?;
    let is_method = method.len() <= METHOD_CHARS
        && !method.is_empty()
        && method.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'-');
    let (origin, target) = match memchr::memmem::find(target, b"://") {
        Some(at) if target[..at].iter().all(u8::is_ascii_alphabetic) => {
            let (scheme, rest) = target.split_at(at + 3);
            let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
            (Some((scheme, host(&rest[..end]))), &rest[end..])
        }
        _ => (None, target),
    };
    if !is_method || (origin.is_none() && !target.starts_with(b"/") && target != b"*") {
        return None;
    }
    let end = target.iter().position(|byte| b"?;#".contains(byte)).unwrap_or(target.len());
    let path = String::from_utf8_lossy(&target[..end]);
    let path: String =
        mask::path(&path).as_bytes().escape_ascii().to_string().chars().take(PATH_CHARS).collect();
    let rest = if target.get(end) == Some(&b'?') { "?…" } else { "" };
    let (scheme, host) = origin.unwrap_or_default();
    Some(format!("{} {}{host}{path}{rest}", method.escape_ascii(), scheme.escape_ascii()))
}

/// The host of an authority, without who asks there; nothing of one that is none.
fn host(authority: &[u8]) -> Cow<'_, str> {
    let host = authority.rsplit(|byte| *byte == b'@').next().unwrap_or(authority);
    let port = memchr::memrchr(b':', host).map_or(&[][..], |at| &host[at + 1..]);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
    let is_port = port.iter().all(|byte| byte.is_ascii_digit()) || host.ends_with(b"]");
    if host.iter().all(is_name) && is_port { String::from_utf8_lossy(host) } else { "…".into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_example_shows_nothing_of_a_query() {
        assert_eq!(masked(b"GET /a?token=s3cret HTTP/1.1"), "GET /a?…");
        assert_eq!(masked(b"GET /a;jsessionid=s3cret HTTP/1.1"), "GET /a");
        assert_eq!(masked(format!("GET /{} HTTP/1.1", "a/".repeat(250)).as_bytes()).len(), 4 + PATH_CHARS);
    }

    #[test]
    fn an_example_names_nobody_and_opens_no_account() {
        for (line, shown) in [
            ("GET /reset/3b7e9a40f1c85d26e4b0/anna@example.com HTTP/1.1", "GET /reset/{token}/{email}"),
            ("GET /anna%40example.com/x HTTP/1.1", "GET /{email}/x"),
            ("GET http://anna:s3cret@shop.test:8080/a?b HTTP/1.1", "GET http://shop.test:8080/a?…"),
            ("GET http://an;na:s3@cret@shop.test HTTP/1.1", "GET http://shop.test"),
            ("GET http://anna:s3cret/x@shop.test/ HTTP/1.1", "GET http://…/{email}/"),
            ("GET https://[::1]:443/a HTTP/1.1", "GET https://[::1]:443/a"),
            ("OPTIONS * HTTP/1.1", "OPTIONS *"),
            ("GET /caf\u{e9} HTTP/1.1", "GET /caf\\xc3\\xa9"),
            ("GET  /two-blanks HTTP/1.1", "GET /two-blanks"),
        ] {
            assert_eq!(masked(line.as_bytes()), shown);
        }
        for line in
            ["", "\u{16}\u{3}\u{1}", "s3cret", "anna@example.com / HTTP/1.1", "GET s3cret HTTP/1.1", "GET"]
        {
            assert_eq!(masked(line.as_bytes()), format!("no request line, {} bytes", line.len()));
        }
    }

    proptest! {
        #[test]
        fn any_line_is_shown_or_not(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            masked(&line);
            masked(&[b"GET ", &line[..], b" HTTP/1.1"].concat());
            masked(&[b"GET http://", &line[..], b" HTTP/1.1"].concat());
        }
    }
}
