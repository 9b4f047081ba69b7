//! One frame and one segment header as bytes. Pure: the only place that knows the layout.

use uuid::Uuid;

use super::{HEADER_BYTES, MAX_PAYLOAD_BYTES};
use crate::hit::Record;

const MAGIC: &[u8; 8] = b"UTMDJRN1";
/// Format of segments with hits, orders and counts. A segment of a binary that wrote records of version 1 has format 1,
/// and 2 where it has an erasure; they are read alike.
pub const FORMAT: u16 = 3;
/// Format of a segment with an erasure, which has no other record: a binary that knows no erasures must stop before it
/// rather than pass over it.
pub const ERASURE_FORMAT: u16 = 4;

/// Bytes before a frame's payload.
pub const FRAME_HEAD_BYTES: usize = 8;

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// [`FORMAT`] or [`ERASURE_FORMAT`].
    pub format: u16,
    /// The run's uuid.
    pub journal: Uuid,
    /// The segment's number.
    pub segment: u64,
    /// When it was begun, Unix milliseconds.
    pub created_ms: u64,
}

/// Why a segment cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Shorter than a header, or another kind of file, or damaged.
    #[error("not a journal segment, or its header is damaged")]
    Damaged,
    /// Written by a newer binary.
    #[error(
        "segment format {0} is newer than this binary's {ERASURE_FORMAT}; a newer utm-dispatcher has to ship it"
    )]
    Newer(u16),
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&self.format.to_be_bytes());
        bytes[12..28].copy_from_slice(self.journal.as_bytes());
        bytes[28..36].copy_from_slice(&self.segment.to_be_bytes());
        bytes[36..44].copy_from_slice(&self.created_ms.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Reads a header from the beginning of a segment.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let bytes = bytes.get(..HEADER_BYTES).ok_or(HeaderError::Damaged)?;
        if &bytes[..8] != MAGIC || u32_at(bytes, 44) != crc32c::crc32c(&bytes[..44]) {
            return Err(HeaderError::Damaged);
        }
        let format = u16::from_be_bytes([bytes[8], bytes[9]]);
        if format > ERASURE_FORMAT {
            return Err(HeaderError::Newer(format));
        }
        let mut journal = [0; 16];
        journal.copy_from_slice(&bytes[12..28]);
        Ok(Self {
            format,
            journal: Uuid::from_bytes(journal),
            segment: u64_at(bytes, 28),
            created_ms: u64_at(bytes, 36),
        })
    }
}

/// Appends a frame with `record` to `out`; on error `out` is as before.
pub fn append(record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
    let encoded = record.encode_into(out);
    let payload_bytes = out.len().saturating_sub(start + FRAME_HEAD_BYTES);
    let length = match (encoded, u32::try_from(payload_bytes)) {
        (Ok(()), Ok(length)) if payload_bytes <= MAX_PAYLOAD_BYTES => length,
        (encoded, _) => {
            out.truncate(start);
            return Err(encoded.err().map_or(FrameError::TooLarge(payload_bytes), FrameError::Encode));
        }
    };
    let crc = crc32c::crc32c(&out[start + FRAME_HEAD_BYTES..]);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_be_bytes());
    Ok(())
}

/// Why a record did not become a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It could not be encoded.
    #[error("record cannot be encoded: {0}")]
    Encode(postcard::Error),
    /// It is greater than a frame may be.
    #[error("record of {0} bytes is greater than a frame may be")]
    TooLarge(usize),
}

/// What stands at an offset of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A whole frame with a payload of so many bytes.
    Frame(usize),
    /// The length of a frame, with a payload of so many bytes that is not the one that was written.
    Damaged(usize),
    /// The bytes end before the frame does.
    Short,
    /// No frame.
    Nothing,
}

/// Looks at the frame that begins at the beginning of `bytes`.
pub fn look(bytes: &[u8]) -> Look {
    let Some(head) = bytes.get(..FRAME_HEAD_BYTES) else { return Look::Short };
    let length = u32_at(head, 0) as usize;
    if !(2..=MAX_PAYLOAD_BYTES).contains(&length) {
        return Look::Nothing;
    }
    match bytes.get(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + length) {
        None => Look::Short,
        Some(payload) if crc32c::crc32c(payload) == u32_at(head, 4) => Look::Frame(length),
        Some(_) => Look::Damaged(length),
    }
}

/// The frames at the beginning of `bytes`, as payloads, up to the first that is torn or damaged.
pub fn payloads(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || match look(rest) {
        Look::Frame(length) => {
            let (frame, after) = rest.split_at(FRAME_HEAD_BYTES + length);
            rest = after;
            Some(&frame[FRAME_HEAD_BYTES..])
        }
        Look::Damaged(_) | Look::Short | Look::Nothing => None,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(value)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_be_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hit::BotCount;

    fn bot(name: &str) -> Record<'_> {
        Record::BotCount(BotCount {
            at_ms: 1,
            site: "default".into(),
            bot: name.into(),
            reasons: 1,
            rules: 2,
        })
    }

    #[test]
    fn header_follows_the_documented_layout() {
        let header = Header {
            format: FORMAT,
            journal: Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
            segment: 7,
            created_ms: 1_700_000_000_000,
        };
        let bytes = header.encode();
        assert_eq!(
            hex(&bytes),
            "5554 4d44 4a52 4e31 0003 0000 0011 2233 4455 6677 8899 aabb ccdd eeff \
             0000 0000 0000 0007 0000 018b cfe5 6800"
                .replace([' ', '\n'], "")
                + &hex(&crc32c::crc32c(&bytes[..44]).to_be_bytes())
        );
        assert_eq!(Header::decode(&bytes), Ok(header));
        for at in 0..44 {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert_eq!(Header::decode(&damaged), Err(HeaderError::Damaged), "byte {at}");
        }
    }

    #[test]
    fn frame_follows_the_documented_layout() {
        let mut out = Vec::new();
        append(&bot("x"), &mut out).unwrap();
        // version 2, kind 5, at_ms 1, "default", "x", reasons 1, rules 2
        assert_eq!(
            hex(&out[8..]),
            "0205".to_owned() + "01" + "07" + &hex(b"default") + "01" + &hex(b"x") + "01" + "02"
        );
        assert_eq!(&out[..4], u32::try_from(out.len() - 8).unwrap().to_be_bytes());
        assert_eq!(&out[4..8], crc32c::crc32c(&out[8..]).to_be_bytes());
        assert_eq!(look(&out), Look::Frame(out.len() - 8));
        assert_eq!(look(&out[..out.len() - 1]), Look::Short);
        assert_eq!(look(&[0; 64]), Look::Nothing, "a tail of zeros is no frame");
        out[9] ^= 1;
        assert_eq!(look(&out), Look::Damaged(out.len() - 8));
    }

    #[test]
    fn a_record_that_is_too_large_leaves_no_trace() {
        let mut out = vec![1, 2, 3];
        let huge = "x".repeat(MAX_PAYLOAD_BYTES);
        assert!(matches!(append(&bot(&huge), &mut out), Err(FrameError::TooLarge(_))));
        assert_eq!(out, [1, 2, 3]);
    }

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut out, byte| {
            write!(out, "{byte:02x}").unwrap();
            out
        })
    }
}
