//! Reads frames from a run directory, from a position on, over torn tails and damage.
//!
//! Rule: a frame that verifies is never skipped, and nothing that does not verify is ever returned.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use uuid::Uuid;

use super::frame::{FRAME_HEAD_BYTES, Header, HeaderError, Look, look};
use super::{HEADER_BYTES, MAX_PAYLOAD_BYTES, Position};

/// How a segment's number is written.
const NUMBER_DIGITS: usize = 10;

/// Reads one journal in order.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    /// Whose segments stand there, by the directory's name.
    journal: Option<Uuid>,
    next: Position,
}

/// Frames read at once.
#[derive(Debug)]
pub struct Chunk {
    /// The payloads, each with the position of its frame.
    pub frames: Vec<(Position, Bytes)>,
    /// Where these frames begin.
    pub start: Position,
    /// Where the next ones begin.
    pub end: Position,
    /// Where stretches of bytes begin that are no frames, and segments that are missing.
    pub damaged: Vec<Position>,
}

impl Chunk {
    /// Whether there is nothing to ship and nothing to move over.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// Why a journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system said no.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The segment was written by a newer binary.
    #[error("{path}: {source}")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The format.
        source: HeaderError,
    },
    /// The segment was copied or moved there: it may be shipped from where it was written.
    #[error("{path}: it was written as segment {segment} of journal {journal}")]
    Elsewhere {
        /// Which file.
        path: PathBuf,
        /// Of which journal it is.
        journal: Uuid,
        /// Which of its segments.
        segment: u64,
    },
}

impl Reader {
    /// A reader of the segments in `directory` that begins at `from`.
    pub fn new(directory: &Path, from: Position) -> Self {
        let name = directory.file_name().and_then(|name| name.to_str());
        let journal = name.and_then(|name| Uuid::parse_str(name).ok());
        Self { directory: directory.to_owned(), journal, next: from }
    }

    /// Where the next chunk begins.
    pub fn position(&self) -> Position {
        self.next
    }

    /// Reads up to about `max_bytes` of the next segment that has any; an empty chunk when there is nothing more.
    ///
    /// A journal that is still written is read up to `written` only; one that is not (`None`) up to its last whole
    /// frame.
    pub fn read(&mut self, written: Option<Position>, max_bytes: usize) -> Result<Chunk, ReadError> {
        let start = self.next;
        let mut damaged = Vec::new();
        let segments = segments(&self.directory)?;
        loop {
            let number = self.next.segment;
            let sealed = match written {
                Some(written) => number < written.segment,
                None => segments.iter().any(|&other| other > number),
            };
            let limit = written.filter(|written| written.segment == number).map(|written| written.offset);
            let is_there = segments.contains(&number);
            let mut chunk = if is_there && written.is_none_or(|written| number <= written.segment) {
                match self.read_segment(limit, sealed, max_bytes) {
                    Ok(chunk) => chunk,
                    Err(error) => {
                        // What was missing before it is found again, and then told.
                        self.next = start;
                        return Err(error);
                    }
                }
            } else {
                Chunk { frames: Vec::new(), start, end: self.next, damaged: Vec::new() }
            };
            damaged.append(&mut chunk.damaged);
            self.next = chunk.end;
            let exhausted = chunk.frames.is_empty();
            let following = segments.iter().copied().filter(|&other| other > number).min();
            if !is_there && following.is_none() && written.is_some_and(|written| written > self.next) {
                let path = segment_path(&self.directory, number);
                return Err(ReadError::Io { path, source: io::ErrorKind::NotFound.into() });
            }
            match following {
                Some(following) if exhausted && sealed => {
                    // They are numbered without gaps, and what is shipped is deleted from the first on.
                    if !is_there {
                        damaged.push(self.next);
                    } else if following > number + 1 {
                        damaged.push(Position { segment: number + 1, offset: 0 });
                    }
                    self.next = Position { segment: following, offset: 0 };
                }
                _ => {
                    chunk.start = start;
                    chunk.damaged = damaged;
                    return Ok(chunk);
                }
            }
        }
    }

    fn read_segment(&self, limit: Option<u64>, sealed: bool, max_bytes: usize) -> Result<Chunk, ReadError> {
        let path = segment_path(&self.directory, self.next.segment);
        let io_error = |source| ReadError::Io { path: path.clone(), source };
        let file = File::open(&path).map_err(io_error)?;
        let length = file.metadata().map_err(io_error)?.len();
        let length = limit.map_or(length, |limit| limit.min(length));
        let mut offset = self.next.offset;
        let mut damaged = Vec::new();
        if offset < HEADER_BYTES as u64 && length >= HEADER_BYTES as u64 {
            let mut header = [0; HEADER_BYTES];
            file.read_exact_at(&mut header, 0).map_err(io_error)?;
            match Header::decode(&header) {
                Ok(Header { journal, segment, .. })
                    if segment != self.next.segment || self.journal.is_some_and(|own| own != journal) =>
                {
                    return Err(ReadError::Elsewhere { path, journal, segment });
                }
                Ok(_) => {}
                Err(source @ HeaderError::Newer(_)) => return Err(ReadError::Newer { path, source }),
                Err(HeaderError::Damaged) => damaged.push(self.next),
            }
            offset = HEADER_BYTES as u64;
        }
        // A window that holds at least two frames of any size: a whole one is always seen, and a stretch without
        // frames is passed in great steps.
        let window = max_bytes.max(2 * (MAX_PAYLOAD_BYTES + FRAME_HEAD_BYTES));
        let available = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; window.min(available)];
        file.read_exact_at(&mut bytes, offset).map_err(io_error)?;
        let bytes = Bytes::from(bytes);
        let whole = bytes.len() == available;

        let mut frames = Vec::new();
        let mut at = 0;
        let mut torn = false;
        let position = |at: usize| Position { segment: self.next.segment, offset: offset + at as u64 };
        while at < bytes.len() {
            match look(&bytes[at..]) {
                Look::Frame(payload_bytes) => {
                    let payload = at + FRAME_HEAD_BYTES..at + FRAME_HEAD_BYTES + payload_bytes;
                    frames.push((position(at), bytes.slice(payload.clone())));
                    at = payload.end;
                }
                Look::Short if !whole => break,
                seen => match next_frame(&bytes, at + 1) {
                    Some(found) => {
                        damaged.push(position(at));
                        at = found;
                    }
                    // Nothing follows in the file. A frame that is all there was damaged later; the rest is a torn tail.
                    None if whole => {
                        let Look::Damaged(payload_bytes) = seen else {
                            torn = true;
                            break;
                        };
                        damaged.push(position(at));
                        at += FRAME_HEAD_BYTES + payload_bytes;
                    }
                    // More of the file may follow: begin there again, a frame's greatest size earlier, so that none is
                    // cut in two.
                    None => {
                        damaged.push(position(at));
                        at = bytes.len().saturating_sub(MAX_PAYLOAD_BYTES + FRAME_HEAD_BYTES - 1).max(at + 1);
                        break;
                    }
                },
            }
        }
        // What follows the last frame of a sealed segment is a write that failed half-way and was done again in the
        // next one. In a live journal `limit` ends with a whole frame.
        if torn && sealed {
            at = bytes.len();
        }
        Ok(Chunk { frames, start: self.next, end: position(at), damaged })
    }
}

/// The offset, from `from` on, at which a whole frame stands.
fn next_frame(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len().saturating_sub(FRAME_HEAD_BYTES))
        .find(|&at| matches!(look(&bytes[at..]), Look::Frame(_)))
}

/// Path of a segment.
pub fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:0NUMBER_DIGITS$}.journal"))
}

/// Numbers of the segments in a run directory, ascending.
pub fn segments(directory: &Path) -> Result<Vec<u64>, ReadError> {
    let io_error = |source| ReadError::Io { path: directory.to_owned(), source };
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(io_error)? {
        let name = entry.map_err(io_error)?.file_name();
        if let Some(number) = name.to_str().and_then(|name| name.strip_suffix(".journal")) {
            numbers.extend(number.parse::<u64>().ok().filter(|_| number.len() == NUMBER_DIGITS));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}
