//! What a service manager sees: sockets that it keeps, words that it is told, processes that follow one another while
//! visitors notice nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::harness::load::{self, Outcome};
use crate::harness::program::{Program, Sockets};
use crate::harness::{Client, Reply, Upstream, postgres, until};
use crate::outages::{answers, nothing_is_lost_or_doubled, visits};

const NO_DATABASE: &str = "postgres://127.0.0.1:1/none";

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_overlap_on_one_socket_fail_no_request_and_record_every_page_once() {
    let database = postgres::migrated().await;
    let shop = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut old = Program::new(shop.address(), &database.url, files.path());
    let sockets = Sockets::of(&old);
    old.start_on(&sockets).await;
    let load = visits(old.proxy, 0);
    for _ in 0..4 {
        answers(&load, 60).await;
        let mut new = old.successor();
        new.start_on(&sockets).await;
        answers(&load, 30).await;
        let end = old.terminate().await;
        assert!(end.success(), "{end}: {}", old.log());
        old = new;
    }
    answers(&load, 60).await;
    let outcome = load.stop().await;
    assert_eq!((outcome.refused, outcome.failures.len()), (0, 0), "{:?}", outcome.failures);
    // A kept connection on which a visitor was silent for longer than the last call: browsers ask again.
    println!("{} pages, {} connections closed before a request", outcome.received.len(), outcome.cut);
    nothing_is_lost_or_doubled(&Outcome { cut: 0, ..outcome }, &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_between_two_processes_waits_for_the_next() {
    let shop = Upstream::start(|_| Reply::ok("shop")).await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(shop.address(), NO_DATABASE, files.path());
    let sockets = Sockets::of(&program);
    program.start_on(&sockets).await;
    assert!(program.terminate().await.success());
    let mut early = Client::connect(program.proxy).await;
    early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    program.start_on(&sockets).await;
    assert_eq!(early.answer().await.body, b"shop");
    assert_eq!(program.ask("/healthz").await.unwrap().0, 200, "the stats port is handed over, too");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_forward_gives_way_to_what_does() {
    let shop = Upstream::start(|_| Reply::ok("shop")).await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(shop.address(), NO_DATABASE, files.path());
    program.start().await;
    until("the office alone is nice", || {
        let niceness = niceness_of_threads(&program);
        let own = niceness.get("proxy").map(|all| all[0]);
        own.is_some_and(|own| {
            ["office", "journal"].iter().all(|name| niceness.contains_key(*name))
                && niceness.iter().all(|(name, all)| {
                    let expected = if name == "office" { (own + 5).min(19) } else { own };
                    all.iter().all(|nice| *nice == expected)
                })
        })
    })
    .await;
}

/// By the threads' names without numbers.
#[cfg(target_os = "linux")]
fn niceness_of_threads(program: &Program) -> BTreeMap<String, Vec<i64>> {
    let mut niceness = BTreeMap::<String, Vec<i64>>::new();
    for (name, nice) in program.threads() {
        let name = name.trim_end_matches(|char: char| char == '-' || char.is_ascii_digit());
        niceness.entry(name.to_owned()).or_default().push(nice);
    }
    niceness
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_of_start_reload_life_and_end() {
    let shop = Upstream::start(|_| Reply::ok("shop")).await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(shop.address(), NO_DATABASE, files.path());
    let sockets = Sockets::of(&program);
    program.start_on(&sockets).await;
    program.tells("WATCHDOG=1").await;
    program.signal("HUP");
    let told = program.tells("RELOADING=1").await;
    let moment = told.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!(moment.parse::<u64>().unwrap() > 0, "{told}");
    program.tells("READY=1").await;
    program.signal("TERM");
    program.tells("STOPPING=1").await;
    assert!(program.ended().await.success());
}

/// Whoever has changed the file may say so at once: whoever is asked to read it again during its start does, and lives.
#[tokio::test]
async fn a_reload_during_the_start_ends_nothing() {
    let shop = Upstream::start(|_| Reply::ok("shop")).await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(shop.address(), NO_DATABASE, files.path());
    program.spawn();
    let handles_terminate = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << 14) != 0
    };
    while !handles_terminate() {
        std::thread::yield_now();
    }
    std::thread::sleep(std::time::Duration::from_millis(2));
    program.signal("HUP");
    program.started().await;
    assert!(program.terminate().await.success(), "{}", program.log());
}

#[tokio::test]
async fn what_is_under_way_ends_in_order_and_readiness_says_so() {
    let gate = tokio_util::sync::CancellationToken::new();
    let held = gate.clone();
    let shop = Upstream::start(move |request| match request.target() {
        "/slow" => Reply::new().wait(&held).write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow"),
        _ => Reply::ok("shop"),
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(shop.address(), NO_DATABASE, files.path());
    program.start().await;
    let (mut slow, mut idle) = (Client::connect(program.proxy).await, Client::connect(program.proxy).await);
    idle.get("/").await;
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("the request is at the shop", || shop.received().len() == 2).await;
    program.signal("TERM");
    assert!(idle.is_closed().await);
    let (status, text) = program.ask("/readyz").await.unwrap();
    assert!(status == 503 && text.contains("draining"), "{status} {text}");
    gate.cancel();
    let answer = slow.answer().await;
    assert_eq!((answer.body.as_slice(), answer.value("connection")), (&b"slow"[..], Some("close")));
    assert_eq!(program.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_deadline_ends_with_0_and_a_second_signal_at_once_with_1() {
    let shop = Upstream::start(|_| Reply::new().until_closed()).await;
    for (drain, signals, code) in [("300ms", 1, 0), ("1h", 2, 1)] {
        let files = tempfile::tempdir().unwrap();
        let mut program = Program::new(shop.address(), NO_DATABASE, files.path());
        program
            .edit(|text| text.replace("workers = 2", &format!("workers = 2\ndrain_timeout = \"{drain}\"")));
        program.start().await;
        let before = shop.received().len();
        let mut client = Client::connect(program.proxy).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        until("the request is at the shop", || shop.received().len() > before).await;
        program.signal("TERM");
        if signals == 2 {
            until("the first signal is obeyed", || program.log().contains("drains")).await;
            program.signal("TERM");
        }
        assert_eq!(program.ended().await.code(), Some(code), "{}", program.log());
        let mut rest = Vec::new();
        let _ =
            tokio::time::timeout(Duration::from_secs(5), client.tcp.read_to_end(&mut rest)).await.unwrap();
    }
}
