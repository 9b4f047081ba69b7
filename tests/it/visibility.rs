//! What people who look after the program can see and do while a disk, a journal or a database fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use utm_dispatcher::journal::frame::Header;
use uuid::Uuid;

use crate::harness::link::Link;
use crate::harness::load;
use crate::harness::postgres;
use crate::harness::program::Program;
use crate::harness::{Client, eventually};

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
    let database = postgres::migrated().await;
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    freeze(&foreign_journal(files.path(), others).join(hanging));
    let mut program = Program::new(upstream.address(), &database.url, files.path());
    program.environment(&[("TOKIO_WORKER_THREADS", "1")]);
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

#[tokio::test(flavor = "multi_thread")]
async fn journals_are_found_and_measured_while_the_database_is_away() {
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let nowhere = "postgres://nobody@127.0.0.1:1/nothing";
    let mut program = Program::new(upstream.address(), nowhere, files.path());
    program.start().await;
    is_said(&program, "nothing is shipped; records are kept in the journal", 1).await;
    // Stock has been taken once.
    let left = foreign_journal(files.path(), &["lock", "0000000001.journal"]).join("0000000000.journal");
    // Not the last of its segments: of that what is no record would be cut off.
    std::fs::write(&left, vec![0; 1_000_000]).unwrap();
    eventually("it is adopted and counted", PATIENCE, || async {
        let (_, metrics) = program.ask("/metrics").await?;
        let held =
            metrics.lines().find_map(|line| line.strip_prefix("utm_dispatcher_journal_held_bytes "))?;
        let is_counted = held.parse::<u64>().unwrap() >= 1_000_000;
        (is_counted && metrics.contains("utm_dispatcher_journals_adopted 1\n")).then_some(())
    })
    .await;
    assert!(program.terminate().await.success());
}

fn header_of_a_newer_format() -> Vec<u8> {
    let mut bytes = Header { format: 1, journal: Uuid::nil(), segment: 0, created_ms: 0 }.encode();
    bytes[8..10].copy_from_slice(&u16::MAX.to_be_bytes());
    let sum = crc32c::crc32c(&bytes[..44]);
    bytes[44..].copy_from_slice(&sum.to_be_bytes());
    bytes.to_vec()
}

/// How many lines of the log have this.
fn lines(program: &Program, text: &str) -> usize {
    program.log().lines().filter(|line| line.contains(text)).count()
}

async fn is_said(program: &Program, text: &str, times: usize) {
    eventually(text, PATIENCE, || async { (lines(program, text) >= times).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_state_is_one_line_of_the_log() {
    let database = postgres::migrated().await;
    let link = Link::to(&database.url).await;
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let in_the_way = files.path().join("journal");
    std::fs::write(&in_the_way, "a file where a directory belongs").unwrap();
    let mut program = Program::new(upstream.address(), link.url(), files.path());
    program.start().await;
    is_said(&program, "cannot look for journals of earlier runs", 1).await;
    // It is looked for every ten seconds.
    tokio::time::sleep(Duration::from_secs(11)).await;
    std::fs::remove_file(&in_the_way).unwrap();
    let unreadable = foreign_journal(files.path(), &["lock"]).join("0000000000.journal");
    std::fs::create_dir(&unreadable).unwrap();
    let newer = foreign_journal(files.path(), &["lock"]).join("0000000000.journal");
    std::fs::write(&newer, header_of_a_newer_format()).unwrap();
    is_said(&program, "a journal cannot be read", 2).await;
    for shown in ["journals_adopted 2", "journals_unreadable 1", "journals_newer 1"] {
        eventually(shown, PATIENCE, || async {
            let (_, metrics) = program.ask("/metrics").await?;
            metrics.contains(&format!("utm_dispatcher_{shown}\n")).then_some(())
        })
        .await;
    }
    is_said(&program, "the database takes records", 1).await;
    link.cut();
    is_said(&program, "records are not shipped now", 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    link.mend();
    is_said(&program, "the database takes records", 2).await;
    std::fs::remove_dir(&unreadable).unwrap();
    std::fs::remove_file(&newer).unwrap();
    is_said(&program, "a journal can be read again", 2).await;
    assert!(program.terminate().await.success());
    for text in [
        "cannot look for journals of earlier runs",
        "journals of earlier runs are looked for again",
        "journal cannot be written",
        "journal takes records again",
        "records are not shipped now",
    ] {
        assert_eq!(lines(&program, text), 1, "{text}: {}", program.log());
    }
    for (text, why) in [
        ("a journal cannot be read", "of two"),
        ("a journal can be read again", "of two"),
        ("the database takes records", "at first, and again"),
    ] {
        assert_eq!(lines(&program, text), 2, "{text}, {why}: {}", program.log());
    }
}

/// Opens a page as a browser that keeps this cookie; answers the cookie that is set.
async fn cookie_set(program: &Program, cookie: &str) -> Option<String> {
    let mut client = Client::connect(program.proxy).await;
    let browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0\r\n\
                   Accept: text/html\r\nAccept-Language: uk\r\n";
    client.send(format!("GET / HTTP/1.1\r\nHost: shop.test\r\n{browser}Cookie: {cookie}\r\n\r\n")).await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 200);
    answer.value("set-cookie").map(|line| line.split(';').next().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_without_a_disk_makes_a_key_and_saves_it_when_it_can() {
    let database = postgres::migrated().await;
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let in_the_way = files.path().join("journal");
    std::fs::write(&in_the_way, "a file where a directory belongs").unwrap();
    let mut program = Program::new(upstream.address(), &database.url, files.path());
    program.start().await;
    let cookie = cookie_set(&program, "a=b").await.unwrap();
    let key_is_told =
        || async { Some(program.ask("/readyz").await?.1.contains("key: a new key is in memory only")) };
    eventually("the key is not saved", PATIENCE, || async { key_is_told().await?.then_some(()) }).await;
    std::fs::remove_file(&in_the_way).unwrap();
    eventually("the key is saved", PATIENCE, || async { (!key_is_told().await?).then_some(()) }).await;
    assert_eq!(lines(&program, "is in memory only"), 2, "the cookies' and the customers': {}", program.log());
    assert_eq!(lines(&program, "the new key is saved"), 2, "{}", program.log());
    assert!(program.terminate().await.success());

    program.start().await;
    assert_eq!(cookie_set(&program, &cookie).await, None, "the visitor is known");
    assert!(cookie_set(&program, &format!("{cookie}x")).await.is_some(), "as one with another key is not");
    assert!(program.terminate().await.success());
}
