//! Key files: lines `<id 0–255> <base64url of 32 bytes>`; the first signs, all verify.
//!
//! [`mod@file`] says how they are read, and made where there is none.

pub mod file;

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit};
use sha2::{Digest, Sha256};

use self::file::Unsaved;

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
    unsaved: Option<Unsaved>,
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
    /// HMAC-SHA-256 with the key that signs, and that key's id.
    pub fn signing(&self) -> (u8, Hmac<Sha256>) {
        let key = &self.keys[0];
        (key.id, key.mac.clone())
    }

    /// HMAC-SHA-256 with the key of this id.
    pub fn get(&self, id: u8) -> Option<Hmac<Sha256>> {
        self.keys.iter().find(|key| key.id == id).map(|key| key.mac.clone())
    }

    /// The new key that could not be written to its file.
    pub fn unsaved(&self) -> Option<&Unsaved> {
        self.unsaved.as_ref()
    }

    /// Of each key the first 8 bytes of its SHA-256, which name it without telling it; the signing key's first.
    pub fn fingerprints(&self) -> Vec<[u8; 8]> {
        let first_bytes = |key: &Key| {
            let mut fingerprint = [0; 8];
            fingerprint.copy_from_slice(&Sha256::digest(key.bytes)[..8]);
            fingerprint
        };
        self.keys.iter().map(first_bytes).collect()
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
    Ok(KeyRing { keys, unsaved: None })
}

#[cfg(test)]
mod tests {
    use hmac::Mac;

    use super::*;

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
        let digests = [Sha256::digest([1; 32]), Sha256::digest([2; 32])];
        assert_eq!(ring.fingerprints(), digests.map(|digest| <[u8; 8]>::try_from(&digest[..8]).unwrap()));
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
