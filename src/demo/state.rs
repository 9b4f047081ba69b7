//! The demonstration's folder: made at its start, gone at its end.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A private folder that is removed with everything in it when this value is dropped.
#[derive(Debug)]
pub(super) struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// A new one for temporary files.
    pub(super) fn create() -> io::Result<Self> {
        let name = Uuid::new_v4().simple().to_string();
        let path = std::env::temp_dir().join(format!("utm-demo-{}", &name[..12]));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    pub(super) fn journal_dir(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// Home of the private database: beside this folder, since its server may run as another user, and in `/tmp`,
    /// whatever `TMPDIR` says, since the path of a socket must be short.
    pub(super) fn database_home(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push("-postgres");
        Path::new("/tmp").join(name)
    }

    /// A word that no other demonstration has, fit for the name of a database.
    pub(super) fn word(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().replace('-', "_")
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if let Err(problem) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %problem, "the demonstration's folder is left behind");
        }
    }
}
