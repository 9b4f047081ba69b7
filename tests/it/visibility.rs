//! What people who look after the program can see and do while a disk, a journal or a database fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::faults::page_shop;
use crate::harness::eventually;
use crate::harness::postgres;
use crate::harness::program::Program;

const PATIENCE: Duration = Duration::from_secs(40);
/// Longest time from SIGTERM to the end of a process with a disk that hangs: ten seconds are for the last batch.
const LONGEST_END: Duration = Duration::from_secs(15);

/// A journal of an earlier run, with these files, `lock` among them.
fn foreign_journal(files: &Path, names: &[&str]) -> PathBuf {
    let journal = files.join("journal").join(Uuid::now_v7().to_string());
    std::fs::create_dir_all(&journal).unwrap();
    for name in names {
        std::fs::write(journal.join(name), "").unwrap();
    }
    journal
}

/// Puts a pipe in the place of a file: who opens it waits for the other side, as on a frozen disk.
fn freeze(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_stops_neither_the_stats_port_nor_signals() {
    // The lock hangs while journals are looked for; a segment that is not the last while it is read to be shipped.
    tokio::join!(
        answers_and_ends_while_it_hangs("lock", &["0000000000.journal"]),
        answers_and_ends_while_it_hangs("0000000000.journal", &["lock", "0000000001.journal"]),
    );
}

async fn answers_and_ends_while_it_hangs(hanging: &str, others: &[&str]) {
    let database = postgres::database().await;
    let upstream = page_shop().await;
    let files = tempfile::tempdir().unwrap();
    freeze(&foreign_journal(files.path(), others).join(hanging));
    let mut program = Program::new(upstream.address(), &database.url, files.path());
    program.office_threads = Some(1);
    program.start().await;
    eventually("what hangs is told", PATIENCE, || async {
        let (_, text) = program.ask("/readyz").await?;
        text.contains("journal: its disk does not answer").then_some(())
    })
    .await;
    assert_eq!(program.ask("/healthz").await, Some((200, "ok\n".to_owned())), "{hanging}");
    let told = Instant::now();
    assert!(program.terminate().await.success(), "{}", program.log());
    assert!(told.elapsed() < LONGEST_END, "{hanging}: {:?}", told.elapsed());
}
