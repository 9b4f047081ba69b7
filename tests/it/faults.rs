//! Disks, databases and processes that fail while the shop is visited: every answer goes out, and what was seen is in
//! the database once when all is well again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::app::{Running, app, app_config};
use crate::harness::link::Link;
use crate::harness::load::{Load, Outcome};
use crate::harness::postgres::{self, Database};
use crate::harness::{Reply, Upstream, eventually};

const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) async fn page_shop() -> Upstream {
    Upstream::start(|_| Reply::with("200 OK", &["Content-Type: text/html"], "<p>page</p>")).await
}

/// Visitors who open some hundred pages a second, from page `first` on: more would be beyond the cap of new values.
pub(crate) fn visits(proxy: SocketAddr, first: u64) -> Load {
    Load::paced(proxy, 8, first, Duration::from_millis(10))
}

pub(crate) async fn answers(load: &Load, more: usize) {
    let target = load.received() + more;
    eventually("answers", PATIENCE, || async { (load.received() >= target).then_some(()) }).await;
}

/// Page views in the database by path; none when it does not answer.
async fn page_views(database_url: &str) -> Option<HashMap<String, i64>> {
    let (client, connection) = tokio_postgres::connect(database_url, tokio_postgres::NoTls).await.ok()?;
    tokio::spawn(connection);
    let sql = "SELECT p.path, count(*) FROM events e JOIN pages p USING (page_id) GROUP BY p.path";
    let rows = client.query(sql, &[]).await.ok()?;
    Some(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Waits until each answer that was received is in the database, and judges that no request failed, and that nothing
/// is there twice.
pub(crate) async fn nothing_is_lost_or_doubled(outcome: &Outcome, database: &Database) {
    assert_eq!(outcome.failed, 0);
    let started = Instant::now();
    let views = loop {
        let views = page_views(&database.url).await.unwrap_or_default();
        let lost = outcome.received.iter().filter(|path| !views.contains_key(*path)).count();
        if lost == 0 {
            break views;
        }
        assert!(started.elapsed() < PATIENCE, "{lost} of {} answers are lost", outcome.received.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let doubled = views.values().filter(|count| **count != 1).count();
    assert_eq!(doubled, 0, "of {}", views.len());
}

pub(crate) async fn readiness_says(app: &Running, word: &str) {
    eventually(word, PATIENCE, || async { app.ask("/readyz").await.1.contains(word).then_some(()) }).await;
}

pub(crate) async fn is_ready(app: &Running) {
    let started = Instant::now();
    loop {
        let (_, text) = app.ask("/readyz").await;
        if text == "ready\n" {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// A small file system of its own, unmounted when dropped.
struct Disk {
    at: PathBuf,
    _files: TempDir,
}

impl Disk {
    /// In memory. None, which is said, where this process may not mount: few containers allow it.
    fn of_memory(size: &str) -> Option<Self> {
        let files = tempfile::tempdir().unwrap();
        let at = files.path().join("disk");
        Self::mounted(files, &at, &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
    }

    /// One that can be frozen.
    fn of_file(size: &str) -> Option<Self> {
        let files = tempfile::tempdir().unwrap();
        let image = files.path().join("image").display().to_string();
        if !run("truncate", &["-s", size, &image]) || !run("mkfs.ext4", &["-q", "-F", &image]) {
            println!("SKIPPED: no file system can be made here");
            return None;
        }
        let at = files.path().join("disk");
        Self::mounted(files, &at, &["-o", "loop", &image])
    }

    fn mounted(files: TempDir, at: &Path, arguments: &[&str]) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let at = at.to_owned();
        if !run("mount", &[arguments, &[at.to_str().unwrap()]].concat()) {
            println!("SKIPPED: no file system may be mounted here");
            return None;
        }
        Some(Self { at, _files: files })
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let path = self.at.join("filler").display().to_string();
        assert!(
            !run("dd", &["if=/dev/zero", &format!("of={path}"), "bs=4k"]),
            "it ends when nothing is left"
        );
    }

    fn clear(&self) {
        std::fs::remove_file(self.at.join("filler")).unwrap();
    }

    fn remount(&self, how: &str) {
        assert!(run("mount", &["-o", &format!("remount,{how}"), self.at.to_str().unwrap()]));
    }

    fn freeze(&self, how: &str) {
        assert!(run("fsfreeze", &[how, self.at.to_str().unwrap()]));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let at = self.at.to_str().unwrap();
        run("fsfreeze", &["--unfreeze", at]);
        run("umount", &["--lazy", at]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_starts_and_serves_without_a_journal_and_records_when_it_can() {
    let database = postgres::database().await;
    let upstream = page_shop().await;
    let files = tempfile::tempdir().unwrap();
    let config = app_config(upstream.address(), &database.url, files.path());
    let in_the_way = config.journal.dir.clone();
    std::fs::write(&in_the_way, "a file where a directory belongs").unwrap();
    let app = Running::start(config).await;
    let load = visits(app.proxy, 0);
    answers(&load, 200).await;
    readiness_says(&app, "journal: it takes no records").await;
    let order = json!([{"order_id": "1", "status": "placed", "value": "1.00", "currency": "UAH"}]);
    assert_eq!(app.tell_orders(&order).await.0, 503, "not taken, and said so");
    std::fs::remove_file(&in_the_way).unwrap();
    answers(&load, 200).await;
    is_ready(&app).await;
    nothing_is_lost_or_doubled(&load.stop().await, &database).await;
    assert_eq!(app.tell_orders(&order).await.0, 200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_or_read_only_costs_no_request_and_no_hit() {
    let Some(disk) = Disk::of_memory("2m") else { return };
    let database = postgres::database().await;
    let upstream = page_shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &database.url, files.path());
    config.journal.dir = disk.at.join("journal");
    config.journal.segment_bytes = 64 << 10;
    let app = Running::start(config.clone()).await;
    let load = visits(app.proxy, 0);
    answers(&load, 100).await;
    disk.fill();
    answers(&load, 1000).await;
    readiness_says(&app, "journal: it takes no records").await;
    disk.clear();
    answers(&load, 100).await;
    is_ready(&app).await;
    let outcome = load.stop().await;
    nothing_is_lost_or_doubled(&outcome, &database).await;
    app.stop().await;

    // A start on a full disk, as after a reboot.
    disk.fill();
    let app = Running::start(config).await;
    let mut more = visits(app.proxy, 1_000_000);
    answers(&more, 100).await;
    disk.clear();
    is_ready(&app).await;
    answers(&more, 100).await;
    nothing_is_lost_or_doubled(&more.stop().await, &database).await;
    app.stop().await;

    // And a journal on a disk that is read-only when the program starts.
    let mut config = app_config(upstream.address(), &database.url, files.path());
    config.journal.dir = disk.at.join("other");
    disk.remount("ro");
    let app = Running::start(config).await;
    more = visits(app.proxy, 2_000_000);
    answers(&more, 100).await;
    disk.remount("rw");
    is_ready(&app).await;
    nothing_is_lost_or_doubled(&more.stop().await, &database).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_makes_room_for_itself_on_a_full_disk() {
    let Some(disk) = Disk::of_memory("1m") else { return };
    let database = postgres::database().await;
    let upstream = page_shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &database.url, files.path());
    config.journal.dir = disk.at.join("journal");
    config.journal.segment_bytes = 64 << 10;
    let app = Running::start(config).await;
    let load = visits(app.proxy, 0);
    // Much more than the disk holds, all of it shipped and kept for a restore.
    readiness_says(&app, "journal: it takes no records").await;
    is_ready(&app).await;
    nothing_is_lost_or_doubled(&load.stop().await, &database).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_do_not_wait_for_a_frozen_disk() {
    let Some(disk) = Disk::of_file("16M") else { return };
    let database = postgres::database().await;
    let upstream = page_shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &database.url, files.path());
    config.journal.dir = disk.at.join("journal");
    let app = Running::start(config).await;
    let load = visits(app.proxy, 0);
    answers(&load, 100).await;
    for _ in 0..2 {
        disk.freeze("--freeze");
        let frozen = Instant::now();
        answers(&load, 500).await;
        assert!(frozen.elapsed() < Duration::from_secs(10), "{:?}", frozen.elapsed());
        readiness_says(&app, "journal: it takes no records").await;
        disk.freeze("--unfreeze");
        answers(&load, 100).await;
        is_ready(&app).await;
    }
    let (_, metrics) = app.ask("/metrics").await;
    let ahead = metrics.lines().find_map(|line| line.split_once("responses_ahead_of_journal_total "));
    let ahead: u64 = ahead.unwrap().1.parse().unwrap();
    assert!(ahead >= 1000, "{ahead}");
    nothing_is_lost_or_doubled(&load.stop().await, &database).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_does_not_wait_for_a_frozen_disk() {
    let Some(disk) = Disk::of_file("16M") else { return };
    let database = postgres::database().await;
    let upstream = page_shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &database.url, files.path());
    config.journal.dir = disk.at.join("journal");
    disk.freeze("--freeze");
    let started = Instant::now();
    let app = Running::start(config).await;
    let load = visits(app.proxy, 0);
    answers(&load, 100).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    readiness_says(&app, "journal: it takes no records").await;
    disk.freeze("--unfreeze");
    is_ready(&app).await;
    nothing_is_lost_or_doubled(&load.stop().await, &database).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_whose_answer_is_lost_under_load_are_not_doubled() {
    let database = postgres::database().await;
    let link = Link::to(&database.url).await;
    let upstream = page_shop().await;
    let (app, _files) = app(upstream.address(), link.url()).await;
    let load = visits(app.proxy, 0);
    is_ready(&app).await;
    for _ in 0..4 {
        answers(&load, 100).await;
        link.cut_after_commit();
        eventually("a commit is cut", PATIENCE, || async { link.is_cut().then_some(()) }).await;
        link.mend();
    }
    nothing_is_lost_or_doubled(&load.stop().await, &database).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_to_an_earlier_state_gets_everything_again() {
    let database = postgres::database().await;
    let link = Link::to(&database.url).await;
    let upstream = page_shop().await;
    let files = tempfile::tempdir().unwrap();
    let config = app_config(upstream.address(), link.url(), files.path());
    let first = Running::start(config.clone()).await;
    let mut load = visits(first.proxy, 0);
    is_ready(&first).await;
    answers(&load, 300).await;
    database.copy_while_cut(&link).await;
    answers(&load, 300).await;
    let mut outcome = load.stop().await;
    nothing_is_lost_or_doubled(&outcome, &database).await;
    first.stop().await;
    // The journal of a second run is unknown to the copy.
    let second = Running::start(config).await;
    load = visits(second.proxy, 1_000_000);
    answers(&load, 300).await;
    database.restore_while_cut(&link).await;
    answers(&load, 100).await;
    let more = load.stop().await;
    outcome.received.extend(more.received);
    outcome.failed += more.failed;
    nothing_is_lost_or_doubled(&outcome, &database).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_begins_anew_gets_its_schema_and_everything_again() {
    let database = postgres::database().await;
    let upstream = page_shop().await;
    let (app, _files) = app(upstream.address(), &database.url).await;
    let load = visits(app.proxy, 0);
    is_ready(&app).await;
    answers(&load, 300).await;
    let client = database.connect().await;
    eventually("it is emptied", PATIENCE, || async {
        client.batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.ok()
    })
    .await;
    answers(&load, 100).await;
    nothing_is_lost_or_doubled(&load.stop().await, &database).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_overlap_on_one_journal_directory() {
    let database = postgres::database().await;
    let upstream = page_shop().await;
    let files = tempfile::tempdir().unwrap();
    let config = app_config(upstream.address(), &database.url, files.path());
    let old = Running::start(config.clone()).await;
    let of_old = visits(old.proxy, 0);
    answers(&of_old, 100).await;
    let new = Running::start(config).await;
    let of_new = visits(new.proxy, 1_000_000);
    answers(&of_new, 300).await;
    answers(&of_old, 100).await;
    let mut outcome = of_old.stop().await;
    old.stop().await;
    answers(&of_new, 100).await;
    let more = of_new.stop().await;
    outcome.received.extend(more.received);
    outcome.failed += more.failed;
    nothing_is_lost_or_doubled(&outcome, &database).await;
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_does_not_wait_for_a_database_that_hangs_and_the_next_run_ships() {
    let database = postgres::database().await;
    let link = Link::to(&database.url).await;
    let upstream = page_shop().await;
    let files = tempfile::tempdir().unwrap();
    let config = app_config(upstream.address(), link.url(), files.path());
    let hung = Running::start(config.clone()).await;
    let load = visits(hung.proxy, 0);
    is_ready(&hung).await;
    link.freeze();
    answers(&load, 500).await;
    let outcome = load.stop().await;
    let told = Instant::now();
    hung.stop().await;
    assert!(told.elapsed() < Duration::from_secs(15), "{:?}", told.elapsed());
    link.mend();
    let next = Running::start(config).await;
    nothing_is_lost_or_doubled(&outcome, &database).await;
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_in_which_nothing_was_seen_leave_nothing() {
    let database = postgres::database().await;
    let upstream = page_shop().await;
    let files = tempfile::tempdir().unwrap();
    let config = app_config(upstream.address(), &database.url, files.path());
    for _ in 0..3 {
        Running::start(config.clone()).await.stop().await;
    }
    let last = Running::start(config.clone()).await;
    eventually("one journal is left", PATIENCE, || async {
        (std::fs::read_dir(&config.journal.dir).unwrap().count() == 1).then_some(())
    })
    .await;
    last.stop().await;
}
