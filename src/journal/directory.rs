//! Run directories: who owns one, which are free to adopt, what may be deleted.
//!
//! Rule: a directory is read for shipping, cut or deleted only by the process that holds its lock.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::Position;
use super::reader::{ReadError, Reader, segment_path, segments};
use crate::files::create_private;

/// For how long a directory has no lock before it is free: whoever owns it puts one back within a second or two.
const LOCKLESS: Duration = Duration::from_secs(30);

/// The extension of a segment that is being put back.
pub(super) const COPY: &str = "copy";

/// A run directory whose lock this process holds until the value is dropped.
#[derive(Debug)]
pub struct RunDirectory {
    /// The journal's uuid, the directory's name.
    pub journal: Uuid,
    /// Where it is.
    pub path: PathBuf,
    lock: Mutex<File>,
}

/// Whether an owner's files are where they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// They are.
    Kept,
    /// Somebody has removed them; they are made again.
    Restored,
    /// Somebody has moved them elsewhere.
    Moved,
}

/// What a look for free directories brought.
#[derive(Debug, Default)]
pub struct Found {
    /// Those that were free.
    pub adopted: Vec<RunDirectory>,
    /// Those that cannot be taken, and why.
    pub refused: Vec<(Uuid, io::Error)>,
}

/// All run directories below `journal_dir`, whoever holds them, the oldest first; none while there is no `journal_dir`.
pub fn run_directories(journal_dir: &Path) -> io::Result<Vec<(Uuid, PathBuf)>> {
    let entries = match fs::read_dir(journal_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_str().and_then(|name| Uuid::parse_str(name).ok());
        found.extend(name.map(|journal| (journal, entry.path())));
    }
    found.sort();
    Ok(found)
}

/// Bytes of all segments below `journal_dir`, whoever holds them.
pub fn held_bytes(journal_dir: &Path) -> io::Result<u64> {
    let directories = run_directories(journal_dir)?;
    // One that cannot be read holds what nobody knows.
    Ok(directories.iter().filter_map(|(_, path)| segment_bytes(path).ok()).sum())
}

impl RunDirectory {
    /// Makes a new one below `journal_dir`, which is made too.
    pub fn create(journal_dir: &Path) -> io::Result<Self> {
        create_private(journal_dir)?;
        let journal = Uuid::now_v7();
        // Locked before it gets the name by which others look for directories to adopt.
        let unnamed = journal_dir.join(format!(".{journal}"));
        let path = journal_dir.join(journal.to_string());
        let locked = create_private(&unnamed).and_then(|()| {
            let lock = lock_file(&unnamed)?;
            lock.try_lock().map_err(io::Error::from)?;
            fs::rename(&unnamed, &path)?;
            File::open(journal_dir)?.sync_all()?;
            Ok(lock)
        });
        match locked {
            Ok(lock) => Ok(Self { journal, path, lock: Mutex::new(lock) }),
            Err(error) => {
                // It is tried again and again while the disk refuses: nothing of it may stay.
                for left in [&unnamed, &path] {
                    let _ = fs::remove_file(left.join("lock"));
                    let _ = fs::remove_dir(left);
                }
                Err(error)
            }
        }
    }

    /// Takes the oldest `most` directories below `journal_dir` that nobody holds, and cuts off their torn tails. This
    /// process's `own` is not free, whatever became of its lock.
    pub fn adopt_free(journal_dir: &Path, own: Option<Uuid>, most: usize) -> io::Result<Found> {
        let mut found = Found::default();
        for (journal, path) in run_directories(journal_dir)? {
            if found.adopted.len() >= most {
                break;
            }
            if own == Some(journal) {
                continue;
            }
            match take(&path) {
                Ok(Some(lock)) => {
                    let directory = Self { journal, path, lock: Mutex::new(lock) };
                    directory.cut_torn_tail();
                    found.adopted.push(directory);
                }
                Ok(None) => {}
                // One that cannot be taken must not keep the others from being shipped.
                Err(error) => found.refused.push((journal, error)),
            }
        }
        Ok(found)
    }

    /// Makes it and its lock again where somebody has removed them.
    pub fn put_back(&self) -> io::Result<Place> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let held = lock.metadata()?;
        if is_removed(&held) {
            create_private(&self.path)?;
            let again = lock_file(&self.path)?;
            again.try_lock().map_err(io::Error::from)?;
            *lock = again;
            return Ok(Place::Restored);
        }
        Ok(if is_named(&held, &self.path.join("lock"))? { Place::Kept } else { Place::Moved })
    }

    /// Bytes of all its segments.
    pub fn bytes(&self) -> Result<u64, ReadError> {
        segment_bytes(&self.path)
    }

    /// Deletes the segments that are shipped (all before `shipped`; with `all_shipped` every one) and were last
    /// written longer than `keep` ago. Returns the bytes that are gone.
    pub fn delete_shipped(
        &self,
        shipped: Position,
        all_shipped: bool,
        keep: Duration,
    ) -> Result<u64, ReadError> {
        let mut deleted = 0;
        for number in segments(&self.path)? {
            let path = segment_path(&self.path, number);
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            if (all_shipped || number < shipped.segment)
                && age.is_some_and(|age| age >= keep)
                && fs::remove_file(&path).is_ok()
            {
                deleted += metadata.len();
            }
        }
        Ok(deleted)
    }

    /// Removes the directory when no segment is left; says whether it is gone.
    pub fn remove_if_empty(&self) -> bool {
        if segments(&self.path).is_ok_and(|left| left.is_empty()) {
            for left in fs::read_dir(&self.path).into_iter().flatten().flatten() {
                // What a crash left of a segment that was being put back.
                if left.path().extension().is_some_and(|extension| extension == COPY) {
                    let _ = fs::remove_file(left.path());
                }
            }
            let _ = fs::remove_file(self.path.join("lock"));
            return fs::remove_dir(&self.path).is_ok();
        }
        false
    }

    fn cut_torn_tail(&self) {
        let Some(last) = segments(&self.path).ok().and_then(|numbers| numbers.last().copied()) else {
            return;
        };
        let mut reader = Reader::new(&self.path, Position { segment: last, offset: 0 });
        let end = loop {
            match reader.read(None, 4 << 20) {
                Ok(chunk) if chunk.is_empty() => break chunk.end,
                Ok(_) => {}
                Err(_) => return, // told when it is read for shipping
            }
        };
        let path = segment_path(&self.path, last);
        let Ok(length) = fs::metadata(&path).map(|metadata| metadata.len()) else { return };
        if length > end.offset && end.segment == last {
            let cut = OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(end.offset));
            tracing::info!(
                journal = %self.journal, segment = last, bytes = length - end.offset, done = cut.is_ok(),
                "cut a torn record off the end of a journal"
            );
        }
    }
}

fn segment_bytes(directory: &Path) -> Result<u64, ReadError> {
    Ok(segments(directory)?
        .into_iter()
        .filter_map(|number| fs::metadata(segment_path(directory, number)).ok())
        .map(|metadata| metadata.len())
        .sum())
}

/// Whether no directory names an open file any more.
fn is_removed(open: &Metadata) -> bool {
    open.nlink() == 0
}

/// Whether an open file is the one of this name.
pub(super) fn is_named(open: &Metadata, path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The directory's lock when it is free, none when somebody holds it or it is gone.
fn take(path: &Path) -> io::Result<Option<File>> {
    let lock = match OpenOptions::new().write(true).open(path.join("lock")) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::metadata(path) {
            Ok(directory) if has_stood(&directory) => lock_file(path)?,
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        },
        Err(error) => return Err(error),
    };
    match lock.try_lock() {
        // Its last owner may have removed it between our opening the file and locking it.
        Ok(()) => Ok(path.join("lock").exists().then_some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a directory without a lock has been one for long: to remove the lock changed it.
fn has_stood(directory: &Metadata) -> bool {
    let since = directory.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    // What was changed in the future was changed before the clock was put back.
    since.is_none_or(|since| since >= LOCKLESS)
}

fn lock_file(directory: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(directory.join("lock"))
}
