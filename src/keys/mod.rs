//! Key files: lines `<id 0–255> <base64url of 32 bytes>`; the first signs, all verify.
//!
//! A file that does not exist is made with one random key, readable by its owner alone. It appears whole or not at
//! all, so that processes which start together end up with the same key.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::files::create_private;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// HMAC-SHA-256 that has taken in a key: two of the four blocks that a short message costs. Clones of it are used up.
pub(crate) fn keyed(key: &[u8; KEY_BYTES]) -> Hmac<Sha256> {
    // RFC 2104: a key shorter than the hash's block is filled up with zeros.
    let mut block = [0; 64];
    block[..KEY_BYTES].copy_from_slice(key);
    Hmac::new(&block.into())
}

/// The keys of a file, never empty.
#[derive(Clone)]
pub struct KeyRing {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: u8,
    bytes: [u8; KEY_BYTES],
    mac: Hmac<Sha256>,
}

/// Why a key file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file or its directory could not be read or written.
    #[error("key file {}: {source}", path.display())]
    Io {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not an id and a key. Its text is not repeated: it may be half a secret.
    #[error("key file {}, line {line}: {problem}", path.display())]
    Line {
        /// The key file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file has no key.
    #[error("key file {} has no key; delete it to have a new one made", path.display())]
    Empty {
        /// The key file.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("no random bytes for a new key")]
    Random,
}

impl KeyRing {
    /// Reads the file, or makes it, and the directories it lies in, when it does not exist. A file that others can
    /// read is used, with a warning in the log.
    pub fn load_or_create(path: &Path) -> Result<KeyRing, KeyError> {
        let failed = |source| KeyError::Io { path: path.to_owned(), source };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                create(path)?;
                File::open(path).map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777),
                "the key file can be read by others; give it mode 0600");
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        parse(path, &text)
    }

    /// HMAC-SHA-256 with the key that signs, and that key's id.
    pub fn signing(&self) -> (u8, Hmac<Sha256>) {
        let key = &self.keys[0];
        (key.id, key.mac.clone())
    }

    /// HMAC-SHA-256 with the key of this id.
    pub fn get(&self, id: u8) -> Option<Hmac<Sha256>> {
        self.keys.iter().find(|key| key.id == id).map(|key| key.mac.clone())
    }

    /// First 8 bytes of SHA-256 of the signing key: names the key without telling it.
    pub fn fingerprint(&self) -> [u8; 8] {
        let digest = Sha256::digest(self.keys[0].bytes);
        let mut fingerprint = [0; 8];
        fingerprint.copy_from_slice(&digest[..8]);
        fingerprint
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing")
            .field("ids", &self.keys.iter().map(|key| key.id).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

pub(crate) fn parse(path: &Path, text: &str) -> Result<KeyRing, KeyError> {
    let mut keys: Vec<Key> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line_error = |problem| KeyError::Line { path: path.to_owned(), line: index + 1, problem };
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let (id, key) =
            line.split_once(char::is_whitespace).ok_or_else(|| line_error("expected an id and a key"))?;
        let id: u8 = id.parse().map_err(|_| line_error("the id is not a number from 0 to 255"))?;
        if keys.iter().any(|other| other.id == id) {
            return Err(line_error("the id is there twice"));
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(key.trim().trim_end_matches('='))
            .ok()
            .and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok())
            .ok_or_else(|| line_error("the key is not the base64url of 32 bytes"))?;
        keys.push(Key { id, bytes, mac: keyed(&bytes) });
    }
    if keys.is_empty() {
        return Err(KeyError::Empty { path: path.to_owned() });
    }
    Ok(KeyRing { keys })
}

/// Writes a new file aside, then links it into place. The link fails when another process was first; its key stands.
fn create(path: &Path) -> Result<(), KeyError> {
    let failed = |source| KeyError::Io { path: path.to_owned(), source };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_private(directory).map_err(failed)?;
    let mut key = [0; KEY_BYTES];
    SysRng.try_fill_bytes(&mut key).map_err(|_| KeyError::Random)?;
    let aside = directory.join(format!(".key-{}", Uuid::new_v4().simple()));
    let written = write_new(&aside, &format!("0 {}\n", URL_SAFE_NO_PAD.encode(key)))
        .and_then(|()| std::fs::hard_link(&aside, path))
        .and_then(|()| File::open(directory)?.sync_all());
    let removed = std::fs::remove_file(&aside);
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
        Ok(()) => tracing::info!(path = %path.display(), "made a new key file"),
    }
    removed.map_err(failed)
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // A umask can only take away; an inherited ACL or setting could have added.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use hmac::Mac;

    use super::*;

    #[test]
    fn processes_that_start_together_get_the_same_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sub").join("secret");
        let fingerprints: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| KeyRing::load_or_create(&path).unwrap().fingerprint()))
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(fingerprints.windows(2).all(|pair| pair[0] == pair[1]));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left aside");
    }

    #[test]
    fn the_first_key_signs_and_all_verify() {
        let text =
            format!("7 {}\n\n3 {}\n", URL_SAFE_NO_PAD.encode([1; 32]), URL_SAFE_NO_PAD.encode([2; 32]));
        let ring = parse(Path::new("secret"), &text).unwrap();
        let tag = |mac: Hmac<Sha256>| mac.chain_update("message").finalize().into_bytes();
        let (id, signing) = ring.signing();
        assert_eq!((id, tag(signing)), (7, tag(keyed(&[1; 32]))));
        assert_eq!(ring.get(3).map(tag), Some(tag(keyed(&[2; 32]))));
        assert!(ring.get(0).is_none());
        assert_eq!(ring.fingerprint(), Sha256::digest([1; 32])[..8]);
    }

    #[test]
    fn a_damaged_file_is_refused_without_repeating_its_text() {
        for text in ["", "0\n", "x AAAA\n", "256 AAAA\n", "0 c2VjcmV0\n", "0 not base64\n"] {
            let error = parse(Path::new("secret"), text).unwrap_err().to_string();
            assert!(error.starts_with("key file secret"), "{error}");
            assert!(!error.contains("c2VjcmV0"), "{error}");
        }
    }
}
