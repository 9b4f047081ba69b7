//! Mends what a test hurt, however the test ends: a small shell process holds the other end of a pipe and mends when the
//! pipe closes. A frozen file system or a stopped server must not outlive a test that was killed.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Mends when dropped, and has mended when the drop is over.
#[derive(Debug)]
pub(crate) struct Guard {
    keeper: Child,
}

impl Guard {
    /// Will run a shell script with these arguments.
    pub(crate) fn new(script: &str, arguments: &[&str]) -> Self {
        let keeper = Command::new("/bin/sh")
            // A group of its own: Ctrl-C in a terminal ends the test, not what mends after it.
            .process_group(0)
            .args(["-c", &format!("trap '' HUP INT TERM; read -r _; {script}"), "guard"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Self { keeper }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
