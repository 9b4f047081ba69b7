//! Whatever comes in whatever pieces: what passes the gate is the requests that a strict reader of the whole sees, up to
//! the first that is none; and how the bytes are split does not matter.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prometheus_client::metrics::counter::Counter;
use utm_dispatcher::accept::{Gate, Mode};
use utm_dispatcher::config::Limits;

/// So large that no input reaches them: a strict reader that counts as well would be the gate again.
const LIMITS: Limits = Limits {
    header_bytes: 1 << 20,
    headers: 10_000,
    uri_bytes: 65_534,
    body_bytes: None,
    connections_per_ip: None,
};

#[derive(Debug, PartialEq, Eq)]
struct Message {
    method: String,
    target: Vec<u8>,
    is_http_10: bool,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// How reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing is wrong so far; a message may be unfinished.
    Dry,
    BadHead,
    BadBody,
    /// After a request for an upgrade nothing is read.
    Upgrade,
}

fuzz_target!(|input: &[u8]| {
    let Some((shape, bytes)) = input.split_first_chunk::<4>() else { return };
    let (out, end) = pass(bytes, |_| usize::MAX, usize::MAX);
    let mut seed = u32::from_le_bytes(*shape);
    let random = pass(
        bytes,
        |_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            1 + usize::try_from(seed >> 24).unwrap_or(0) % 48
        },
        usize::from(shape[0]) + 1,
    );
    assert_eq!(random, (out.clone(), end), "split at random: {}", bytes.escape_ascii());
    assert_eq!(pass(bytes, |_| 1, 1), (out.clone(), end), "byte by byte: {}", bytes.escape_ascii());

    let (want, want_end) = read(bytes, true);
    let (have, have_end) = read(&out, false);
    assert_eq!(end, want_end, "{}", bytes.escape_ascii());
    assert_eq!(have, want, "{}", bytes.escape_ascii());
    assert!(matches!(have_end, End::Dry | End::Upgrade), "{}", out.escape_ascii());
});

/// Sends bytes through a gate in pieces of these lengths. Answers what came out without the stand-in.
fn pass(bytes: &[u8], mut length: impl FnMut(usize) -> usize, room: usize) -> (Vec<u8>, End) {
    let mut gate = Gate::new(LIMITS, Counter::default());
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(length(rest.len()).min(rest.len()));
        rest = later;
        if gate.mode() == Mode::Reading {
            let passed = gate.admit(piece);
            out.extend_from_slice(&piece[..passed]);
        }
        while gate.has_something() {
            gate.give(room, |bytes| out.extend_from_slice(bytes));
        }
    }
    let end = match gate.mode() {
        Mode::Reading => End::Dry,
        Mode::Waiting | Mode::Full => End::Upgrade,
        Mode::Broken => End::BadBody,
        Mode::Refused => {
            assert!(gate.take_refused().is_some());
            let length = if out.ends_with(b"HEAD / HTTP/1.1\r\n\r\n") { 19 } else { 18 };
            assert!(out.ends_with(b" / HTTP/1.1\r\n\r\n"));
            out.truncate(out.len() - length);
            End::BadHead
        }
    };
    (out, end)
}

/// Reads messages to the first that is none, or is unfinished: of that one, the head if it is whole and what there is
/// of the body. `is_strict` is what the gate must be like; without it, what parses what the gate lets pass.
fn read(mut bytes: &[u8], is_strict: bool) -> (Vec<Message>, End) {
    let mut messages = Vec::new();
    loop {
        bytes = without_empty_lines(bytes);
        if bytes.is_empty() || bytes == b"\r" {
            return (messages, End::Dry);
        }
        let mut fields = vec![httparse::EMPTY_HEADER; 2_000];
        let mut request = httparse::Request::new(&mut fields);
        // httparse refuses targets that only need to be mended: their place is read by hand.
        let line_end = bytes.iter().position(|byte| *byte == b'\n');
        let Some(line_end) = line_end else {
            let is_begin = is_token(bytes[0]) && !(bytes.len() > 65 && !bytes[..65].contains(&b' '));
            // A line that does not end is judged by its first byte and its length alone.
            let too_long = bytes.len() > 64 + 1 + LIMITS.uri_bytes + 10;
            let end = if !is_token(bytes[0]) || (too_long && !is_begin) { End::BadHead } else { End::Dry };
            return (messages, end);
        };
        let line = bytes[..line_end].strip_suffix(b"\r").unwrap_or(&bytes[..line_end]);
        let Some((method, target, is_http_10)) = request_line(line) else {
            return (messages, End::BadHead);
        };
        let target = if is_strict {
            match mended(target) {
                Some(target) => target,
                None => {
                    // Known only when the head is whole, or refused for another reason.
                    return match head_length(&bytes[line_end + 1..]) {
                        Ok(None) => (messages, End::Dry),
                        _ => (messages, End::BadHead),
                    };
                }
            }
        } else {
            assert!(http::Uri::try_from(target).is_ok(), "{}", target.escape_ascii());
            target.to_vec()
        };
        // A line that has not come whole may become anything, to the gate, and httparse would judge it already.
        match head_length(&bytes[line_end + 1..]) {
            Ok(Some(_)) => {}
            Ok(None) => return (messages, End::Dry),
            Err(()) => return (messages, End::BadHead),
        }
        let version = if is_http_10 { "0" } else { "1" };
        let plain = [format!("{method} / HTTP/1.{version}\r\n").as_bytes(), &bytes[line_end + 1..]].concat();
        let parsed = request.parse(&plain);
        let fields: Vec<(String, Vec<u8>)> = match parsed {
            Ok(httparse::Status::Complete(_)) => {
                request.headers.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect()
            }
            Ok(httparse::Status::Partial) => return (messages, End::Dry),
            Err(_) => return (messages, End::BadHead),
        };
        let Ok(httparse::Status::Complete(length)) = parsed else { return (messages, End::BadHead) };
        let head = length - (plain.len() + line_end + 1 - bytes.len());
        let framing = if is_strict { strict_framing(&fields, is_http_10) } else { lax_framing(&fields) };
        let Some(framing) = framing else { return (messages, End::BadHead) };
        bytes = &bytes[line_end + 1 + head..];
        let asks = !is_http_10 && fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("upgrade"));
        let mut message = Message { method, target, is_http_10, fields, body: Vec::new() };
        let (rest, end) = match framing {
            Some(length) => {
                let count = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
                message.body.extend_from_slice(&bytes[..count]);
                let is_over = count as u64 == length;
                (&bytes[count..], if is_over { None } else { Some(End::Dry) })
            }
            None => chunks(bytes, &mut message.body),
        };
        messages.push(message);
        match end {
            Some(end) => return (messages, end),
            None if asks => return (messages, End::Upgrade),
            None => bytes = rest,
        }
    }
}

fn without_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n").or_else(|| bytes.strip_prefix(b"\n")) {
        bytes = rest;
    }
    bytes
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn request_line(line: &[u8]) -> Option<(String, &[u8], bool)> {
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts.as_slice() else { return None };
    let is_good = (1..=64).contains(&method.len()) && method.iter().all(|byte| is_token(*byte));
    if !is_good || target.is_empty() || target.iter().any(|byte| matches!(byte, 0 | b'\r')) {
        return None;
    }
    let is_http_10 = match *version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return None,
    };
    Some((String::from_utf8(method.to_vec()).ok()?, target, is_http_10))
}

/// The length of the lines up to an empty one.
fn head_length(bytes: &[u8]) -> Result<Option<usize>, ()> {
    if whole_lines_are_bad(bytes) {
        return Err(());
    }
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if line == b"\r\n" || line == b"\n" {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Whether a line that has come whole, before the empty one, can be no field, or is one too many.
fn whole_lines_are_bad(bytes: &[u8]) -> bool {
    let (mut hosts, mut lengths) = (0, 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else { return false };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return false;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return true };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let is_good_value = value.iter().all(|byte| *byte == b'\t' || (*byte >= 32 && *byte != 127));
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) || !is_good_value {
            return true;
        }
        let value = trimmed(value);
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
            if hosts > 1 || !is_host(value) {
                return true;
            }
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            if lengths > 1 || number(value).is_none() {
                return true;
            }
        }
    }
    false
}

fn trimmed(value: &[u8]) -> &[u8] {
    let text: &[u8] = value;
    let start = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let end = text.len() - text[start..].iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[start..end]
}

fn number(value: &[u8]) -> Option<u64> {
    let is_number = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(value).ok()?.parse().ok())?
}

/// `uri-host [":" port]`
fn is_host(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((inner, port)) = rest.split_once(']') else { return false };
            if inner.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            if !port.is_empty() && !port.starts_with(':') {
                return false;
            }
            ("v6", port.strip_prefix(':').unwrap_or(""))
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    !host.is_empty()
        && host.bytes().all(is_name)
        && port.len() <= 5
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Some length, or none for chunks; none at all when it is ambiguous.
fn strict_framing(fields: &[(String, Vec<u8>)], is_http_10: bool) -> Option<Option<u64>> {
    let values = |name: &str| -> Vec<&[u8]> {
        let named = fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice()).collect()
    };
    let hosts = values("host");
    let has_host = matches!(hosts.as_slice(), [host] if is_host(host)) || (hosts.is_empty() && is_http_10);
    if !has_host {
        return None;
    }
    match (values("content-length").as_slice(), values("transfer-encoding").as_slice()) {
        ([], []) => Some(Some(0)),
        ([length], []) => Some(Some(number(length)?)),
        ([], [coding]) if !is_http_10 && coding.eq_ignore_ascii_case(b"chunked") => Some(None),
        _ => None,
    }
}

/// As the parser behind the gate does it: the last coding decides, then the first length.
fn lax_framing(fields: &[(String, Vec<u8>)]) -> Option<Option<u64>> {
    let value = |name: &str| fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
    if let Some((_, coding)) = value("transfer-encoding") {
        return coding.to_ascii_lowercase().ends_with(b"chunked").then_some(None);
    }
    match value("content-length") {
        Some((_, length)) => Some(Some(std::str::from_utf8(length).ok()?.parse().ok()?)),
        None => Some(Some(0)),
    }
}

/// Reads chunks; answers what is left, and how it ended unless the body is over.
fn chunks<'a>(mut bytes: &'a [u8], body: &mut Vec<u8>) -> (&'a [u8], Option<End>) {
    loop {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            return (bytes, Some(partial_size(bytes)));
        };
        let Some(line) = bytes[..end].strip_suffix(b"\r") else { return (bytes, Some(End::BadBody)) };
        let Some(size) = size(line) else { return (bytes, Some(End::BadBody)) };
        bytes = &bytes[end + 1..];
        if size == 0 {
            return trailers(bytes);
        }
        let count = usize::try_from(size).unwrap_or(usize::MAX).min(bytes.len());
        body.extend_from_slice(&bytes[..count]);
        bytes = &bytes[count..];
        if (count as u64) < size {
            return (bytes, Some(End::Dry));
        }
        match bytes {
            [] | [b'\r'] => return (bytes, Some(End::Dry)),
            [b'\r', b'\n', rest @ ..] => bytes = rest,
            _ => return (bytes, Some(End::BadBody)),
        }
    }
}

fn size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let rest = &line[digits..];
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let is_good = matches!(rest.get(blanks), None | Some(b';')) && !rest.contains(&b'\r');
    let digits = std::str::from_utf8(&line[..digits]).ok()?;
    let significant = digits.trim_start_matches('0');
    if !is_good || digits.is_empty() || significant.len() > 16 {
        return None;
    }
    if significant.is_empty() { Some(0) } else { u64::from_str_radix(significant, 16).ok() }
}

/// A size line without its end: good so far, or not.
fn partial_size(line: &[u8]) -> End {
    let line = line.strip_suffix(b"\r").filter(|line| !line.is_empty()).unwrap_or(line);
    if line.is_empty() || size(line).is_some() { End::Dry } else { End::BadBody }
}

fn trailers(mut bytes: &[u8]) -> (&[u8], Option<End>) {
    loop {
        match bytes {
            [] | [b'\r'] => return (bytes, Some(End::Dry)),
            [b'\r', b'\n', rest @ ..] => return (rest, None),
            _ => {}
        }
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let is_whole = end < bytes.len();
        let line = &bytes[..end];
        let name = line.iter().take_while(|byte| is_token(**byte)).count();
        let value = line.get(name + 1..).unwrap_or_default();
        let text = value.strip_suffix(b"\r").unwrap_or(value);
        let is_value = text.iter().all(|byte| *byte == b'\t' || (*byte >= 32 && *byte != 127));
        let is_good = name > 0 && matches!(line.get(name), None | Some(b':')) && is_value;
        if !is_good || (is_whole && (!value.ends_with(b"\r"))) {
            return (bytes, Some(End::BadBody));
        }
        if !is_whole {
            return (&[], Some(End::Dry));
        }
        bytes = &bytes[end + 1..];
    }
}

/// A target as browsers would send it.
fn mended(target: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut in_query = false;
    let mut at = 0;
    while at < target.len() && target[at] != b'#' {
        let byte = target[at];
        in_query |= byte == b'?';
        let width = (1..=4.min(target.len() - at))
            .find(|width| std::str::from_utf8(&target[at..at + width]).is_ok())
            .filter(|_| byte >= 0x80);
        if let Some(width) = width {
            out.extend_from_slice(&target[at..at + width]);
            at += width;
            continue;
        }
        let is_bad = byte >= 0x7f || byte <= 0x20 || matches!(byte, b'<' | b'>')
            || (byte == b'"' && in_query)
            || (byte == b'`' && !in_query);
        if is_bad {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(byte);
        }
        at += 1;
    }
    let is_fit = !out.is_empty() && out.len() <= LIMITS.uri_bytes && http::Uri::try_from(out.as_slice()).is_ok();
    is_fit.then_some(out)
}
