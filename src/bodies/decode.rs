//! Takes a content encoding (RFC 9110, 8.4.1) off, a bounded piece at a time.

use std::fmt;
use std::io::Write;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
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

/// What takes an encoding off.
pub(super) enum Decoder {
    Plain,
    Gzip(MultiGzDecoder<Vec<u8>>),
    /// `deflate` of which nothing was seen yet.
    Deflate,
    Zlib(ZlibDecoder<Vec<u8>>),
    RawDeflate(DeflateDecoder<Vec<u8>>),
    Brotli(Box<Brotli>),
    Zstd(zstd::stream::raw::Decoder<'static>),
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
            b"gzip" | b"x-gzip" => Self::Gzip(MultiGzDecoder::new(Vec::new())),
            b"deflate" => Self::Deflate,
            b"br" => Self::Brotli(Box::new(Brotli::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            b"zstd" => {
                let mut decoder = zstd::stream::raw::Decoder::new().ok()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW)).ok()?;
                Self::Zstd(decoder)
            }
            _ => return None,
        })
    }

    /// Decodes the beginning of `input`; answers how much of it was used, at least a byte of what is there.
    pub(super) fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Malformed> {
        let piece = &input[..input.len().min(DEFLATE_PIECE)];
        match self {
            Self::Plain => {
                let length = input.len().min(PIECE);
                out.extend_from_slice(&input[..length]);
                return Ok(length);
            }
            Self::Gzip(decoder) => {
                decoder.write_all(piece).map_err(|_| Malformed)?;
                out.append(decoder.get_mut());
            }
            Self::Deflate => {
                // RFC 9110 means zlib; some send deflate without its frame.
                let [first, ..] = piece else { return Ok(0) };
                *self = match first & 0x0f == 8 && first >> 4 <= 7 {
                    true => Self::Zlib(ZlibDecoder::new(Vec::new())),
                    false => Self::RawDeflate(DeflateDecoder::new(Vec::new())),
                };
                return self.decode(input, out);
            }
            Self::Zlib(decoder) => {
                decoder.write_all(piece).map_err(|_| Malformed)?;
                out.append(decoder.get_mut());
            }
            Self::RawDeflate(decoder) => {
                decoder.write_all(piece).map_err(|_| Malformed)?;
                out.append(decoder.get_mut());
            }
            Self::Brotli(state) => return brotli(state, input, out),
            Self::Zstd(decoder) => {
                out.resize(PIECE, 0);
                let status = decoder.run_on_buffers(input, out).map_err(|_| Malformed)?;
                out.truncate(status.bytes_written);
                if status.bytes_read == 0 && status.bytes_written == 0 {
                    return Err(Malformed);
                }
                return Ok(status.bytes_read);
            }
        }
        Ok(piece.len())
    }
}

fn brotli(state: &mut Brotli, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Malformed> {
    out.resize(PIECE, 0);
    let (mut left, mut read, mut room, mut written, mut total) = (input.len(), 0, PIECE, 0, 0);
    let result =
        BrotliDecompressStream(&mut left, &mut read, input, &mut room, &mut written, out, &mut total, state);
    out.truncate(written);
    match result {
        BrotliResult::ResultFailure => Err(Malformed),
        // What follows the end belongs to nothing.
        BrotliResult::ResultSuccess => Ok(input.len()),
        _ if read == 0 && written == 0 => Err(Malformed),
        _ => Ok(read),
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}
