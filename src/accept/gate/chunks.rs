//! A chunked body on its way through (RFC 9112 section 7.1): found is where it ends; line ends are CR LF and nothing
//! else, since what takes a bare LF for one and what does not see two different requests.

use memchr::memchr2;

use super::head::{is_token_byte, is_value_byte};
use crate::config::Limits;

/// Bytes of extensions in one body; what decodes the body afterwards takes no more either.
const EXTENSION_BYTES: usize = (16 << 10) - 1;

/// Where in a chunked body we are.
#[derive(Debug)]
pub(super) struct Chunks {
    at: At,
    extension_bytes: usize,
    trailers: usize,
    trailer_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the first digit of a size.
    Start,
    Size(u64),
    /// Blanks after a size.
    SizeBlank(u64),
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    End,
}

/// The body is malformed from here on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadChunk {
    /// How many of the bytes are good.
    pub(super) good: usize,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Chunks { at: At::Start, extension_bytes: 0, trailers: 0, trailer_bytes: 0 }
    }

    /// Whether the body has ended.
    pub(super) fn is_over(&self) -> bool {
        self.at == At::End
    }

    /// Reads on; answers how many of the bytes belong to the body: all, unless it ends within them.
    pub(super) fn read(&mut self, bytes: &[u8], limits: &Limits) -> Result<usize, BadChunk> {
        let mut read = 0;
        while read < bytes.len() && !self.is_over() {
            let rest = &bytes[read..];
            let (next, count) = match self.at {
                At::Data(left) => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let left = left - count as u64;
                    (if left == 0 { At::DataCr } else { At::Data(left) }, count)
                }
                At::Extension(size) if !matches!(rest[0], b'\r' | b'\n') => {
                    let count = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                    self.extension_bytes += count;
                    if self.extension_bytes > EXTENSION_BYTES {
                        return Err(BadChunk { good: read });
                    }
                    (At::Extension(size), count)
                }
                at => (self.step(at, rest[0], limits).ok_or(BadChunk { good: read })?, 1),
            };
            self.at = next;
            read += count;
        }
        Ok(read)
    }

    fn step(&mut self, at: At, byte: u8, limits: &Limits) -> Option<At> {
        match (at, byte) {
            (At::Start, byte) => Some(At::Size(hex(byte)?)),
            (At::Size(size), b' ' | b'\t') | (At::SizeBlank(size), b' ' | b'\t') => Some(At::SizeBlank(size)),
            (At::Size(size) | At::SizeBlank(size), b';') => Some(At::Extension(size)),
            (At::Size(size) | At::SizeBlank(size) | At::Extension(size), b'\r') => Some(At::SizeLf(size)),
            (At::Size(size), byte) => Some(At::Size(size.checked_mul(16)?.checked_add(hex(byte)?)?)),
            (At::SizeLf(0), b'\n') => Some(At::TrailerStart),
            (At::SizeLf(size), b'\n') => Some(At::Data(size)),
            (At::DataCr, b'\r') => Some(At::DataLf),
            (At::DataLf, b'\n') => Some(At::Start),
            (At::TrailerStart, b'\r') => Some(At::LastLf),
            (At::LastLf, b'\n') => Some(At::End),
            (At::TrailerStart | At::TrailerName | At::TrailerValue | At::TrailerLf, byte) => {
                self.step_in_trailers(at, byte, limits)
            }
            _ => None,
        }
    }

    fn step_in_trailers(&mut self, at: At, byte: u8, limits: &Limits) -> Option<At> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > limits.header_bytes {
            return None;
        }
        match (at, byte) {
            (At::TrailerStart, byte) if is_token_byte(byte) && self.trailers < limits.headers => {
                self.trailers += 1;
                Some(At::TrailerName)
            }
            (At::TrailerName, b':') => Some(At::TrailerValue),
            (At::TrailerName, byte) if is_token_byte(byte) => Some(At::TrailerName),
            (At::TrailerValue, b'\r') => Some(At::TrailerLf),
            (At::TrailerValue, byte) if is_value_byte(byte) => Some(At::TrailerValue),
            (At::TrailerLf, b'\n') => Some(At::TrailerStart),
            _ => None,
        }
    }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}
