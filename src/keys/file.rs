//! Reading key files, and making those that do not exist.
//!
//! A new file has one random key and is readable by its owner alone. It appears whole or not at all, so that processes
//! which start together end up with the same key. Where the disk does not take it the key is held in memory and saved
//! later: the shop is served all the same. A file that exists and cannot be read fails the start: a made-up key in its
//! place would replace every cookie.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{KEY_BYTES, KeyError, KeyRing, parse};
use crate::files::create_private;
use crate::telemetry::metrics::Metrics;

/// How often a disk that did not take a new key is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// A new key that is not in its file.
#[derive(Clone)]
pub struct Unsaved {
    path: PathBuf,
    text: String,
}

/// What became of a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Saved {
    /// Its file has it.
    InPlace,
    /// Its file has another one, which somebody put there before.
    Preceded,
}

impl KeyRing {
    /// Reads the file, or makes it, and the directories it lies in, when it does not exist. A file that others can
    /// read is used, with a warning in the log. A new key that the disk does not take is [`KeyRing::unsaved`].
    pub fn load_or_create(path: &Path) -> Result<KeyRing, KeyError> {
        match File::open(path) {
            Ok(file) => read(path, file),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                create(path)
            }
            Err(source) => Err(KeyError::Io { path: path.to_owned(), source }),
        }
    }
}

fn read(path: &Path, mut file: File) -> Result<KeyRing, KeyError> {
    let failed = |source| KeyError::Io { path: path.to_owned(), source };
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777),
            "the key file can be read by others; give it mode 0600");
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    parse(path, &text)
}

fn create(path: &Path) -> Result<KeyRing, KeyError> {
    let mut key = [0; KEY_BYTES];
    SysRng.try_fill_bytes(&mut key).map_err(|_| KeyError::Random)?;
    let text = format!("0 {}\n", URL_SAFE_NO_PAD.encode(key));
    let ring = parse(path, &text)?;
    let unsaved = Unsaved { path: path.to_owned(), text };
    match unsaved.save() {
        Ok(Saved::InPlace) => {
            tracing::info!(path = %path.display(), "made a new key file");
            Ok(ring)
        }
        Ok(Saved::Preceded) => {
            let file = File::open(path).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
            read(path, file)
        }
        Err(error) => {
            tracing::error!(path = %path.display(), %error,
                "a new key cannot be saved and is in memory only; it is tried again, but should the process end before, \
                 every visitor is new");
            Ok(KeyRing { unsaved: Some(unsaved), ..ring })
        }
    }
}

impl Unsaved {
    /// Writes a new file aside, then links it into place. The link fails when somebody was first; that key stands.
    fn save(&self) -> io::Result<Saved> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        create_private(directory)?;
        let aside = directory.join(format!(".key-{}", Uuid::new_v4().simple()));
        let linked = write_new(&aside, &self.text).and_then(|()| std::fs::hard_link(&aside, &self.path));
        let removed = std::fs::remove_file(&aside);
        match linked {
            // It may be ours, of an attempt that failed behind the link.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if std::fs::read_to_string(&self.path)? != self.text {
                    return Ok(Saved::Preceded);
                }
            }
            linked => linked.and(removed)?,
        }
        File::open(directory)?.sync_all()?;
        Ok(Saved::InPlace)
    }
}

impl std::fmt::Debug for Unsaved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unsaved").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Tries until `shutdown` to save keys, and says in the log and by `/readyz` what is not saved.
pub async fn save_when_possible(
    mut unsaved: Vec<Unsaved>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) {
    while !unsaved.is_empty() {
        metrics.state.keys_unsaved.store(true, Ordering::Relaxed);
        if shutdown.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
            return;
        }
        let trying = std::mem::take(&mut unsaved);
        let tries = move || trying.into_iter().map(|key| (key.save(), key)).collect::<Vec<_>>();
        let Ok(tried) = tokio::task::spawn_blocking(tries).await else { return };
        for (outcome, key) in tried {
            let path = key.path.display();
            match outcome {
                Ok(Saved::InPlace) => tracing::info!(%path, "the new key is saved"),
                Ok(Saved::Preceded) => {
                    metrics.state.keys_replaced.store(true, Ordering::Relaxed);
                    tracing::error!(%path,
                        "another key was put into the key file before the new one could be saved; this process goes on \
                         with its own until it is restarted");
                }
                Err(_) => unsaved.push(key),
            }
        }
    }
    metrics.state.keys_unsaved.store(false, Ordering::Relaxed);
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // A umask can only take away; an inherited ACL or setting could have added.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_start_together_get_the_same_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sub").join("secret");
        let fingerprints: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| KeyRing::load_or_create(&path).unwrap().fingerprints()))
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(fingerprints.windows(2).all(|pair| pair[0] == pair[1]));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left aside");
    }

    #[test]
    fn a_file_that_exists_and_cannot_be_read_is_no_reason_to_make_a_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(KeyRing::load_or_create(&path), Err(KeyError::Io { .. })));
        let turning = directory.path().join("turning");
        std::os::unix::fs::symlink(&turning, &turning).unwrap();
        assert!(matches!(KeyRing::load_or_create(&turning), Err(KeyError::Io { .. })));
    }

    #[test]
    fn a_key_that_could_not_be_saved_is_saved_later_but_replaces_none() {
        let directory = tempfile::tempdir().unwrap();
        let in_the_way = directory.path().join("keys");
        std::fs::write(&in_the_way, "a file where a directory belongs").unwrap();
        let path = in_the_way.join("secret");
        let held = [(), ()].map(|()| KeyRing::load_or_create(&path).unwrap());
        let save = |ring: &KeyRing| ring.unsaved().unwrap().save();
        assert!(save(&held[0]).is_err());
        std::fs::remove_file(&in_the_way).unwrap();
        assert_eq!(save(&held[0]).unwrap(), Saved::InPlace);
        assert_eq!(
            save(&held[0]).unwrap(),
            Saved::InPlace,
            "an attempt that was not known to have succeeded"
        );
        assert_eq!(save(&held[1]).unwrap(), Saved::Preceded);
        let loaded = KeyRing::load_or_create(&path).unwrap();
        assert!(loaded.unsaved().is_none());
        assert_eq!(loaded.fingerprints(), held[0].fingerprints());
        assert_eq!(std::fs::read_dir(&in_the_way).unwrap().count(), 1, "nothing is left aside");
    }
}
