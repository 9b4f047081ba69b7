//! The thread that writes the access log; it alone touches the file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::oneshot;

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Whole lines, and how many.
    Lines {
        bytes: Vec<u8>,
        count: u64,
    },
    Reopen,
    End,
}

/// Resolves when the writer has written all and ended.
pub type Ended = oneshot::Receiver<()>;

struct Writer {
    /// None is standard output.
    path: Option<PathBuf>,
    file: File,
    /// The last write failed.
    fails: bool,
    dropped: Counter,
}

/// Opens the file and starts the thread.
pub(super) fn start(
    path: Option<PathBuf>,
    waiting_bytes: Arc<AtomicU64>,
    dropped: Counter,
) -> io::Result<(Sender<Message>, Ended)> {
    let file = open(path.as_deref())?;
    let mut writer = Writer { path, file, fails: false, dropped };
    let (sender, messages) = channel();
    let (ends, ended) = oneshot::channel();
    std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
        writer.run(&messages, &waiting_bytes);
        // Nobody may be waiting.
        let _ = ends.send(());
    })?;
    Ok((sender, ended))
}

impl Writer {
    fn run(&mut self, messages: &Receiver<Message>, waiting_bytes: &AtomicU64) {
        for message in messages {
            match message {
                Message::Lines { bytes, count } => {
                    self.write(&bytes, count);
                    waiting_bytes.fetch_sub(bytes.len() as u64, Ordering::Relaxed);
                }
                Message::Reopen => self.reopen(),
                Message::End => return,
            }
        }
    }

    fn write(&mut self, bytes: &[u8], count: u64) {
        // A line that was cut off by an error stays alone.
        let line_end: &[u8] = if self.fails { b"\n" } else { b"" };
        match self.file.write_all(line_end).and_then(|()| self.file.write_all(bytes)) {
            Ok(()) if self.fails => {
                self.fails = false;
                tracing::info!("the access log is written again");
            }
            Ok(()) => {}
            Err(error) => {
                self.dropped.inc_by(count);
                if !std::mem::replace(&mut self.fails, true) {
                    tracing::warn!(%error, "the access log cannot be written; lines are dropped and counted");
                }
            }
        }
    }

    fn reopen(&mut self) {
        match open(self.path.as_deref()) {
            Ok(file) => {
                self.file = file;
                self.fails = false;
            }
            Err(error) => {
                tracing::warn!(%error, "the access log cannot be opened anew; the old file is written on");
            }
        }
    }
}

fn open(path: Option<&Path>) -> io::Result<File> {
    match path {
        Some(path) => OpenOptions::new().create(true).append(true).mode(0o640).open(path),
        None => Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
    }
}
