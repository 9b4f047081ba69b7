//! A small file system of its own, for disks that are full, read-only or do not answer.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::guard::Guard;

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    at: PathBuf,
    _mounted: Guard,
    _files: TempDir,
}

impl Disk {
    /// In memory. None, which is said, where this process may not mount: few containers allow it.
    pub(crate) fn of_memory(size: &str) -> Option<Self> {
        Self::mounted(tempfile::tempdir().unwrap(), &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
    }

    /// One that can be frozen, full and read-only; none as above.
    pub(crate) fn of_file(size: &str) -> Option<Self> {
        let files = tempfile::tempdir().unwrap();
        let image = files.path().join("image").display().to_string();
        if !run("truncate", &["-s", size, &image]) || !run("mkfs.ext4", &["-q", "-F", "-m", "0", &image]) {
            println!("SKIPPED: no file system can be made here");
            return None;
        }
        Self::mounted(files, &["-o", "loop", &image])
    }

    fn mounted(files: TempDir, arguments: &[&str]) -> Option<Self> {
        let at = files.path().join("disk");
        std::fs::create_dir(&at).unwrap();
        let place = at.to_str().unwrap();
        let guard = Guard::new("fsfreeze --unfreeze \"$1\"; umount --lazy \"$1\"", &[place]);
        if !run("mount", &[arguments, &[place]].concat()) {
            println!("SKIPPED: no file system may be mounted here");
            return None;
        }
        Some(Self { at, _mounted: guard, _files: files })
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.at
    }

    /// Takes all the room that is left.
    pub(crate) fn fill(&self) {
        let path = self.at.join("filler").display().to_string();
        assert!(
            !run("dd", &["if=/dev/zero", &format!("of={path}"), "bs=4k"]),
            "it ends when nothing is left"
        );
    }

    /// Gives the room back.
    pub(crate) fn clear(&self) {
        std::fs::remove_file(self.at.join("filler")).unwrap();
    }

    /// `ro` or `rw`. The former is refused while a file is open for writing.
    pub(crate) fn remount(&self, how: &str) {
        assert!(run("mount", &["-o", &format!("remount,{how}"), self.at.to_str().unwrap()]), "remount,{how}");
    }

    /// Whoever writes hangs until the guard is dropped.
    pub(crate) fn freeze(&self) -> Guard {
        let place = self.at.to_str().unwrap();
        let guard = Guard::new("fsfreeze --unfreeze \"$1\"", &[place]);
        assert!(run("fsfreeze", &["--freeze", place]), "fsfreeze");
        guard
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}
