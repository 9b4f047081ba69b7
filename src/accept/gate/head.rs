//! The head of a request, line by line as the lines come: each byte is looked at once, however the head is split. What
//! stands here is at least as strict as what parses the head afterwards, so that nobody else ever refuses one.

use std::ops::Range;

use http::uri::PathAndQuery;
use http::{Method, Uri, Version};
use memchr::memchr;

use super::{RequestLine, target};
use crate::config::Limits;
use crate::forward::head::host_end;
use crate::forward::{Names, Refusal};

/// Longest method. Those in use have up to 17 bytes.
const METHOD_BYTES: usize = 64;
/// ` HTTP/1.1`
const VERSION_BYTES: usize = 9;
/// Longest `Content-Length` in digits: beyond any body, and within 64 bits.
const LENGTH_DIGITS: usize = 18;

/// How the body after a head is framed (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// What has been read of a head.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Where the first line begins that has not been read; counted, as all places here, from the head's begin.
    line_start: usize,
    /// There is no line end between `line_start` and here.
    searched: usize,
    /// Bytes of empty lines before the request line.
    blank: usize,
    /// Where the fields begin; 0 until the request line has been read.
    fields_start: usize,
    fields: usize,
    is_http_10: bool,
    method: Range<usize>,
    target: Range<usize>,
    /// The target has bytes that need a closer look.
    target_is_odd: bool,
    has_host: bool,
    length: Option<u64>,
    codings: Codings,
    asks_for_upgrade: bool,
}

/// What the lines of `Transfer-Encoding` say.
#[derive(Debug, Default)]
struct Codings {
    chunked: u32,
    others: u32,
    last_is_chunked: bool,
    is_malformed: bool,
}

impl Head {
    /// Reads on; `bytes` begin with the head and hold all of it that has come. Answers the head's length when it has
    /// come whole. `names` get those of its fields.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        names: &mut Names,
    ) -> Result<Option<usize>, Refusal> {
        while let Some(at) = memchr(b'\n', &bytes[self.searched..]) {
            let (start, end) = (self.line_start, self.searched + at);
            let line = &bytes[start..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.line_start = end + 1;
            self.searched = end + 1;
            if self.fields_start > 0 {
                if line.is_empty() {
                    check_fields_room(start - self.fields_start, limits)?;
                    self.conclude()?;
                    return Ok(Some(end + 1));
                }
                self.read_field(line, limits, names)?;
            } else if !line.is_empty() {
                self.read_request_line(line, start, limits)?;
                self.fields_start = end + 1;
            } else {
                // Overlooked (RFC 9112 section 2.2).
                self.blank = end + 1;
            }
        }
        self.searched = bytes.len();
        self.check_room(&bytes[self.line_start..], limits)?;
        Ok(None)
    }

    /// Whether nothing of it has come, or empty lines only, of which one may be unfinished.
    pub(super) fn is_blank(&self) -> bool {
        self.fields_start == 0 && self.searched == self.line_start
    }

    /// Whether it cannot pass as it is: its target must be looked at closer, or there are empty lines before it.
    pub(super) fn needs_mending(&self) -> bool {
        self.target_is_odd || self.blank > 0
    }

    /// Its first line, if it has been read and is one; `bytes` begin with the head.
    pub(super) fn line(&self, bytes: &[u8]) -> Option<RequestLine> {
        let method = bytes.get(self.method.clone()).filter(|method| !method.is_empty())?;
        let target = bytes.get(self.target.clone()).unwrap_or_default();
        let uri = target::mended(target).and_then(|target| Uri::try_from(&*target).ok());
        Some(RequestLine {
            method: Method::from_bytes(method).ok()?,
            path: uri.and_then(|uri| PathAndQuery::try_from(uri.path()).ok()),
            version: if self.is_http_10 { Version::HTTP_10 } else { Version::HTTP_11 },
        })
    }

    /// Bytes of empty lines before it.
    pub(super) fn blank(&self) -> usize {
        self.blank
    }

    /// Where the target stands.
    pub(super) fn target(&self) -> Range<usize> {
        self.target.clone()
    }

    pub(super) fn asks_for_upgrade(&self) -> bool {
        self.asks_for_upgrade
    }

    pub(super) fn framing(&self) -> Framing {
        if self.codings.chunked > 0 { Framing::Chunked } else { Framing::Length(self.length.unwrap_or(0)) }
    }

    /// Whether what has come of an unfinished line, and of the head, is too much or can be no request.
    fn check_room(&self, line: &[u8], limits: &Limits) -> Result<(), Refusal> {
        if self.fields_start > 0 {
            // A CR alone may belong to the empty line, which does not count.
            let length = if line == b"\r" { 0 } else { line.len() };
            return check_fields_room(self.line_start - self.fields_start + length, limits);
        }
        match line.first() {
            None | Some(b'\r') if line.len() <= 1 => Ok(()),
            Some(first) if is_token_byte(*first) => {
                if line.len() <= METHOD_BYTES + 1 + limits.uri_bytes + VERSION_BYTES + 1 {
                    Ok(())
                } else if memchr(b' ', &line[..=METHOD_BYTES]).is_some() {
                    Err(Refusal::TargetTooLong)
                } else {
                    Err(Refusal::MethodTooLong)
                }
            }
            _ => Err(Refusal::Malformed),
        }
    }

    /// `method SP target SP HTTP/1.x`, exactly (RFC 9112 section 3).
    fn read_request_line(&mut self, line: &[u8], start: usize, limits: &Limits) -> Result<(), Refusal> {
        let method = memchr(b' ', line).ok_or(Refusal::Malformed)?;
        if method == 0 || !is_token(&line[..method]) {
            return Err(Refusal::Malformed);
        }
        if method > METHOD_BYTES {
            return Err(Refusal::MethodTooLong);
        }
        let rest = &line[method + 1..];
        let end = memchr(b' ', rest).filter(|end| *end > 0).ok_or(Refusal::Malformed)?;
        self.is_http_10 = match &rest[end + 1..] {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Refusal::Version);
            }
            _ => return Err(Refusal::Malformed),
        };
        self.method = start..start + method;
        let target = &rest[..end];
        if target.iter().any(|byte| matches!(byte, b'\0' | b'\r')) {
            return Err(Refusal::Malformed);
        }
        if target.len() > limits.uri_bytes {
            return Err(Refusal::TargetTooLong);
        }
        let from = start + method + 1;
        self.target = from..from + end;
        self.target_is_odd = !target::is_plain(target);
        Ok(())
    }

    fn read_field(&mut self, line: &[u8], limits: &Limits, names: &mut Names) -> Result<(), Refusal> {
        self.fields += 1;
        if self.fields > limits.headers {
            return Err(Refusal::HeadTooLarge);
        }
        let name_end = line.iter().position(|byte| !is_token_byte(*byte)).ok_or(Refusal::Malformed)?;
        // Blanks before the colon, or at the start (a folded line), are how requests are smuggled (RFC 9112 section 5).
        if name_end == 0 || line[name_end] != b':' {
            return Err(Refusal::Malformed);
        }
        let (name, value) = (&line[..name_end], &line[name_end + 1..]);
        names.push(name);
        if !is_field_value(value) {
            return Err(Refusal::Malformed);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.read_host(trim(value)),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.asks_for_upgrade = !self.is_http_10;
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.read_length(trim(value)),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.codings.read(value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn read_host(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.has_host || host_end(value).is_none() {
            return Err(Refusal::Host);
        }
        self.has_host = true;
        Ok(())
    }

    fn read_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let is_number = (1..=LENGTH_DIGITS).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        if self.length.is_some() || !is_number {
            return Err(Refusal::Framing);
        }
        self.length = Some(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')));
        Ok(())
    }

    /// What only the whole head tells.
    fn conclude(&self) -> Result<(), Refusal> {
        if !self.has_host && !self.is_http_10 {
            return Err(Refusal::Host);
        }
        let codings = &self.codings;
        if !codings.are_some() {
            return Ok(());
        }
        let is_ambiguous = self.length.is_some() || self.is_http_10;
        if is_ambiguous || codings.is_malformed || !codings.last_is_chunked || codings.chunked > 1 {
            return Err(Refusal::Framing);
        }
        if codings.others > 0 { Err(Refusal::TransferCoding) } else { Ok(()) }
    }
}

impl Codings {
    fn read(&mut self, value: &[u8]) {
        for coding in value.split(|byte| *byte == b',') {
            let coding = trim(coding);
            self.is_malformed |= coding.is_empty();
            self.last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            if self.last_is_chunked { self.chunked += 1 } else { self.others += 1 }
        }
    }

    fn are_some(&self) -> bool {
        self.chunked + self.others > 0
    }
}

fn check_fields_room(bytes: usize, limits: &Limits) -> Result<(), Refusal> {
    if bytes > limits.header_bytes { Err(Refusal::HeadTooLarge) } else { Ok(()) }
}

fn is_token(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| is_token_byte(*byte))
}

/// Whether a byte may stand in a method or a field's name (RFC 9110 section 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[usize::from(byte)]
}

const TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

/// Whether a byte may stand in a field's value: no control but the tab (RFC 9110 section 5.5).
pub(super) fn is_value_byte(byte: u8) -> bool {
    (byte >= 0x20 && byte != 0x7f) || byte == b'\t'
}

/// All bytes are looked at, wherever a bad one stands: so the loop is done in vectors.
fn is_field_value(value: &[u8]) -> bool {
    value.iter().fold(true, |is_good, byte| is_good & is_value_byte(*byte))
}

/// Without blanks and tabs around it.
fn trim(value: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}
