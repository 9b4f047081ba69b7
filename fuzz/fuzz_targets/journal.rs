//! Of a segment with damage in it every whole frame is read, in order, and nothing else.

#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use utm_dispatcher::hit::Record;
use utm_dispatcher::journal::frame::{Header, Look, look, payloads};
use utm_dispatcher::journal::reader::{ReadError, Reader, segment_path};
use utm_dispatcher::journal::{HEADER_BYTES, Position};

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fuzz_target!(|data: &[u8]| {
    for payload in payloads(data).chain([data]) {
        decode(payload);
    }
    // As a file of its own: whatever it is, reading ends.
    write(data);
    for payload in read().unwrap_or_default() {
        decode(&payload);
    }
    // As a recipe: whole frames with stretches of damage between them.
    let Some((segment, whole)) = segment_of(data) else { return };
    write(&segment);
    assert_eq!(read().unwrap(), whole);
});

/// A record that can be read is written and read again as the same.
fn decode(payload: &[u8]) {
    if let Ok(record) = Record::decode(payload) {
        let mut again = Vec::new();
        record.encode_into(&mut again).unwrap();
        assert_eq!(Record::decode(&again).unwrap(), record);
    }
}

/// A segment built by a recipe, and the payloads of its whole frames. Each step is a byte, whose low seven bits give a
/// length: a frame (high bit clear) or damage (set) made of the bytes that follow. None when the damage happens to be a
/// frame as well: the CRC-32C of FF FF FF FF is FF FF FF FF.
fn segment_of(recipe: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let header = Header { format: 1, journal: uuid::Uuid::nil(), segment: 0, created_ms: 0 };
    let mut segment = header.encode().to_vec();
    let (mut starts, mut whole) = (Vec::new(), Vec::new());
    let mut rest = recipe;
    while let [step, after @ ..] = rest {
        let (piece, after) = after.split_at(usize::from(step & 0x7f).min(after.len()));
        rest = after;
        if step & 0x80 == 0 && piece.len() >= 2 {
            starts.push(segment.len());
            segment.extend_from_slice(&u32::try_from(piece.len()).unwrap().to_be_bytes());
            segment.extend_from_slice(&crc32c::crc32c(piece).to_be_bytes());
            segment.extend_from_slice(piece);
            whole.push(piece.to_vec());
        } else {
            segment.extend_from_slice(piece);
        }
    }
    let seen = (HEADER_BYTES..segment.len()).filter(|at| matches!(look(&segment[*at..]), Look::Frame(_)));
    seen.eq(starts).then_some((segment, whole))
}

fn write(segment: &[u8]) {
    std::fs::write(segment_path(folder(), 0), segment).unwrap();
}

fn read() -> Result<Vec<Vec<u8>>, ReadError> {
    let mut reader = Reader::new(folder(), Position::default());
    let mut found = Vec::new();
    loop {
        let before = reader.position();
        let chunk = reader.read(None, 1 << 16)?;
        if chunk.is_empty() {
            return Ok(found);
        }
        assert!(reader.position() > before, "each chunk moves on");
        found.extend(chunk.frames.into_iter().map(|(_, payload)| payload.to_vec()));
    }
}

fn folder() -> &'static Path {
    FOLDER.path()
}
