//! Finds PostgreSQL's server programs. A cluster's data decides which release is taken; without data, the first
//! place that has one.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ManagedError;
use super::home::Home;

/// Environment variable that names a directory with `postgres`, `initdb` and `pg_ctl`.
pub(super) const VARIABLE: &str = "UTM_DISPATCHER_POSTGRES_BIN";
/// What the migrations are written for.
const OLDEST_RELEASE: u32 = 14;
/// Below a cache directory: where `./dev` unpacks a server when the machine has none.
const CACHED: &str = "utm-dispatcher/postgres/bin";

/// A directory with the programs of one PostgreSQL release.
#[derive(Debug, Clone)]
pub struct Binaries {
    directory: PathBuf,
    release: String,
}

impl Binaries {
    /// The programs for the cluster in `home`.
    pub(super) fn find(home: &Home) -> Result<Self, ManagedError> {
        let found: Vec<Self> =
            places().into_iter().filter_map(|place| Self::in_directory(place, home)).collect();
        let Some(first) = found.first() else { return Err(ManagedError::NoBinaries) };
        let Some(release) = home.data_release() else { return Ok(first.clone()) };
        found.iter().find(|binaries| binaries.release == release).cloned().ok_or_else(|| {
            let releases: Vec<&str> = found.iter().map(Self::release).collect();
            ManagedError::OtherRelease { path: home.data_dir(), data: release, found: releases.join(", ") }
        })
    }

    /// Major release, "15".
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Path of a program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Asks as the server's user, who may not be allowed to enter a directory that this process can.
    fn in_directory(directory: PathBuf, home: &Home) -> Option<Self> {
        if !directory.join("initdb").is_file() || !directory.join("pg_ctl").is_file() {
            return None;
        }
        let mut command = Command::new(directory.join("postgres"));
        home.user().drop_to(&mut command);
        let output = command.arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(Self { directory, release: major_release(&text)? })
    }
}

/// "postgres (PostgreSQL) 15.7 (Debian …)" → "15"; none for one that is too old
fn major_release(version: &str) -> Option<String> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    (digits.parse::<u32>().ok()? >= OLDEST_RELEASE).then_some(digits)
}

fn places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    places.extend(env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from));
    let path = env::var_os("PATH").unwrap_or_default();
    // A link on PATH leads to the directory that holds the other programs as well.
    let on_path = env::split_paths(&path).filter_map(|place| fs::canonicalize(place.join("postgres")).ok());
    places.extend(on_path.filter_map(|program| program.parent().map(Path::to_path_buf)));
    places.extend(installed());
    let caches = [
        env::var_os("XDG_CACHE_HOME").map(PathBuf::from),
        env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")),
        Some(PathBuf::from("/var/cache")),
    ];
    places.extend(caches.into_iter().flatten().map(|cache| cache.join(CACHED)));
    places
}

/// What Debian and Red Hat packages install, newest first.
fn installed() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        let Ok(entries) = fs::read_dir(parent) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if let Some(release) = release_of(&name, prefix) {
                found.push((release, entry.path().join("bin")));
            }
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, directory)| directory).collect()
}

fn release_of(name: &OsStr, prefix: &str) -> Option<u32> {
    name.to_str()?.strip_prefix(prefix)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_release_is_read_from_the_version_line() {
        assert_eq!(major_release("postgres (PostgreSQL) 15.7 (Debian 15.7-1)\n").as_deref(), Some("15"));
        assert_eq!(major_release("postgres (PostgreSQL) 18devel\n").as_deref(), Some("18"));
        assert_eq!(major_release("postgres (PostgreSQL) 9.6.24"), None);
        assert_eq!(major_release("something else 15"), None);
    }
}
