//! Takes a content encoding (RFC 9110, 8.4.1) off, a bounded piece at a time.

use std::fmt;
use std::io::Write;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use http::{HeaderMap, header};
use zstd::stream::raw::{DParameter, Operation};

/// Encoded bytes that are decoded at a time: deflate makes at most 1,032 bytes of each.
const DEFLATE_PIECE: usize = 256;
/// Decoded bytes that are made at a time.
const PIECE: usize = 16 << 10;
/// Largest window of zstd, as a power of two: 8 MiB, what browsers take.
const ZSTD_WINDOW: u32 = 23;

/// The bytes are not what the encoding says.
#[derive(Debug)]
pub(super) struct Malformed;

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// What was done of a piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decoded {
    /// Bytes of it that are used up.
    pub(super) read: usize,
    /// Whether more comes out of what is used up already.
    pub(super) has_more: bool,
}

/// What takes an encoding off.
pub(super) enum Decoder {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    /// `deflate` of which nothing was seen yet.
    Deflate,
    Inflate(Decompress, End),
    Brotli(Box<Brotli>, End),
    Zstd(zstd::stream::raw::Decoder<'static>, End),
}

/// Whether what was encoded has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Missing,
    Reached,
}

impl Decoder {
    /// For a body whose head has these fields; none for an encoding that is not known, or several.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let fields = headers.get_all(header::CONTENT_ENCODING).iter();
        let mut names = fields
            .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
            .map(|name| name.trim_ascii().to_ascii_lowercase())
            .filter(|name| !matches!(name.as_slice(), b"" | b"identity"));
        let Some(name) = names.next() else { return Some(Self::Plain) };
        if names.next().is_some() {
            return None;
        }
        Some(match name.as_slice() {
            b"gzip" | b"x-gzip" => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            b"deflate" => Self::Deflate,
            b"br" => {
                let (one, two, three) = Default::default();
                Self::Brotli(Box::new(Brotli::new_strict(one, two, three)), End::Missing)
            }
            b"zstd" => {
                let mut decoder = zstd::stream::raw::Decoder::new().ok()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW)).ok()?;
                Self::Zstd(decoder, End::Missing)
            }
            _ => return None,
        })
    }

    /// Decodes the beginning of `input`, which is empty only after more was announced.
    pub(super) fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Decoded, Malformed> {
        let piece = &input[..input.len().min(DEFLATE_PIECE)];
        match self {
            Self::Plain => {
                let length = input.len().min(PIECE);
                out.extend_from_slice(&input[..length]);
                return Ok(Decoded { read: length, has_more: false });
            }
            Self::Gzip(decoder) => {
                decoder.write_all(piece).and_then(|()| decoder.flush()).map_err(|_| Malformed)?;
                out.append(decoder.get_mut());
            }
            Self::Deflate => {
                // RFC 9110 means zlib; some send deflate without its frame.
                let Some(first) = piece.first() else { return Err(Malformed) };
                let is_framed = first & 0x0f == 8 && first >> 4 <= 7;
                *self = Self::Inflate(Decompress::new(is_framed), End::Missing);
                return self.decode(input, out);
            }
            Self::Inflate(state, end) => return inflate(state, end, piece, out),
            Self::Brotli(state, end) => return brotli(state, end, input, out),
            Self::Zstd(decoder, end) => {
                out.resize(PIECE, 0);
                let status = decoder.run_on_buffers(input, out).map_err(|_| Malformed)?;
                out.truncate(status.bytes_written);
                if status.bytes_read == 0 && status.bytes_written == 0 && !input.is_empty() {
                    return Err(Malformed);
                }
                // One frame may follow another. A call that does nothing says nothing.
                if status.bytes_read > 0 || status.bytes_written > 0 {
                    *end = if status.remaining == 0 { End::Reached } else { End::Missing };
                }
                return Ok(Decoded { read: status.bytes_read, has_more: status.bytes_written == PIECE });
            }
        }
        Ok(Decoded { read: piece.len(), has_more: false })
    }

    /// Says whether the body may end here, where all of it is decoded.
    pub(super) fn finish(&mut self) -> Result<(), Malformed> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish().map_err(|_| Malformed),
            Self::Inflate(_, End::Missing) | Self::Brotli(_, End::Missing) | Self::Zstd(_, End::Missing) => {
                Err(Malformed)
            }
            _ => Ok(()),
        }
    }
}

/// `out` is empty.
fn inflate(
    state: &mut Decompress,
    end: &mut End,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<Decoded, Malformed> {
    if *end == End::Reached {
        // What follows the end belongs to nothing.
        return Ok(Decoded { read: input.len(), has_more: false });
    }
    out.reserve(PIECE);
    let before = state.total_in();
    let status = state.decompress_vec(input, out, FlushDecompress::None).map_err(|_| Malformed)?;
    let read = usize::try_from(state.total_in() - before).map_err(|_| Malformed)?;
    if status == Status::StreamEnd {
        *end = End::Reached;
    } else if read == 0 && out.is_empty() && !input.is_empty() {
        return Err(Malformed);
    }
    Ok(Decoded { read, has_more: *end == End::Missing && out.len() == out.capacity() })
}

fn brotli(state: &mut Brotli, end: &mut End, input: &[u8], out: &mut Vec<u8>) -> Result<Decoded, Malformed> {
    out.resize(PIECE, 0);
    let (mut left, mut read, mut room, mut written, mut total) = (input.len(), 0, PIECE, 0, 0);
    let result =
        BrotliDecompressStream(&mut left, &mut read, input, &mut room, &mut written, out, &mut total, state);
    out.truncate(written);
    match result {
        BrotliResult::ResultFailure => Err(Malformed),
        // What follows the end belongs to nothing.
        BrotliResult::ResultSuccess => {
            *end = End::Reached;
            Ok(Decoded { read: input.len(), has_more: false })
        }
        _ if read == 0 && written == 0 && !input.is_empty() => Err(Malformed),
        _ => Ok(Decoded { read, has_more: written == PIECE }),
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}
