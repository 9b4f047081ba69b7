//! A private Postgres keeps its data, dies with its owner, and starts again after any death.

use std::process::Command;
use std::time::{Duration, Instant};

use tokio_postgres::NoTls;
use utm_dispatcher::managed::{Cluster, ManagedError, Settings};

use crate::harness::eventually;
use crate::harness::link::Link;
use crate::harness::postgres::{DedicatedPostgres, connect, database, fresh_home};

#[tokio::test]
async fn a_fresh_database_is_empty_and_its_own() {
    let (one, other) = (database().await, database().await);
    one.connect().await.batch_execute("CREATE TABLE t (n int)").await.expect("creating a table");
    let found =
        other.connect().await.query_one("SELECT to_regclass('t') IS NULL", &[]).await.expect("asking");
    assert!(found.get::<_, bool>(0));
}

#[tokio::test]
async fn data_survives_a_kill_and_a_stop() {
    let Some(mut postgres) = DedicatedPostgres::start().await else { return };
    let client = connect(&postgres.url()).await;
    client.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (42)").await.expect("writing");
    postgres.kill().await;
    tokio_postgres::connect(&postgres.url(), NoTls).await.err().expect("nobody answers");
    postgres.restart().await;
    postgres.stop().await;
    postgres.restart().await;
    let row = connect(&postgres.url()).await.query_one("SELECT n FROM t", &[]).await.expect("reading");
    assert_eq!(row.get::<_, i32>(0), 42);
}

#[tokio::test]
async fn a_cluster_has_one_owner_and_ends_with_it() {
    let home = fresh_home();
    let mut cluster = Cluster::open_in(&home, Settings::default()).expect("a place");
    cluster.start().await.expect("it starts");
    let url = cluster.url();
    let second = Cluster::open_in(&home, Settings::default());
    assert!(matches!(second, Err(ManagedError::InUse(_))), "{second:?}");

    // No word to the server: as after SIGKILL, only the pipe closes.
    drop(cluster);
    eventually("the server ends with its owner", Duration::from_secs(20), async || {
        tokio_postgres::connect(&url, NoTls).await.err()
    })
    .await;
    let mut heir =
        free_again(|| Cluster::open_in(&home, Settings { disposable: true, ..Settings::default() })).await;
    heir.start().await.expect("it starts again");
    heir.stop().await.expect("it stops");
    assert!(!home.exists(), "a disposable cluster leaves nothing behind");
}

#[tokio::test]
async fn a_server_whose_keeper_was_killed_too_is_stopped_before_the_next_start() {
    let home = fresh_home();
    let mut cluster = Cluster::open_in(&home, Settings::default()).expect("a place");
    cluster.start().await.expect("it starts");
    let orphan = cluster.postmaster_pid().expect("a postmaster");
    kill_keeper_of(orphan);
    drop(cluster);
    assert!(std::path::Path::new(&format!("/proc/{orphan}")).exists(), "the orphan lives on");

    let settings = || Settings { disposable: true, ..Settings::default() };
    let mut heir = free_again(|| Cluster::open_in(&home, settings())).await;
    heir.start().await.expect("it starts beside the orphan's data");
    assert_ne!(heir.postmaster_pid(), Some(orphan));
    heir.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_long_or_closed_path_has_its_database_elsewhere_and_finds_it_again() {
    // The temporary folder is closed to all but this user, which for root is not the server's.
    let dir = tempfile::tempdir().expect("a folder");
    let long = dir.path().join("a-folder-whose-name-is-long-".repeat(4));
    let settings = || Settings { disposable: true, ..Settings::default() };
    let mut cluster = Cluster::open(&long, settings()).expect("a place");
    let home = cluster.home().to_owned();
    assert!(!home.starts_with(dir.path()), "{}", home.display());
    cluster.start().await.expect("it starts");
    connect(&cluster.url()).await.simple_query("SELECT 1").await.expect("it answers");
    cluster.stop().await.expect("it stops");

    drop(cluster);
    let again = free_again(|| Cluster::open(&long, settings())).await;
    assert_eq!(again.home(), home);
    std::fs::remove_dir(&home).expect("an empty home");
}

/// A place whose owner in this process has let it go: what another test starts at this moment holds
/// the lock until it is the program that it is to be.
async fn free_again(open: impl Fn() -> Result<Cluster, ManagedError>) -> Cluster {
    eventually("the place is free", Duration::from_secs(10), async || open().ok()).await
}

/// Kills what would stop the server: the shell that started it, and that shell's reader of the pipe.
fn kill_keeper_of(postmaster: u32) {
    let read = |path: String| std::fs::read_to_string(&path).expect("a file of /proc");
    let stat = read(format!("/proc/{postmaster}/stat"));
    let keeper =
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).expect("its parent").to_owned();
    let children = read(format!("/proc/{keeper}/task/{keeper}/children"));
    let watchers = children.split_whitespace().filter(|child| *child != postmaster.to_string());
    let killed = Command::new("kill").arg("-KILL").args(watchers).arg(&keeper).status().expect("kill");
    assert!(killed.success());
}

#[tokio::test]
async fn the_link_loses_the_answer_to_a_commit_but_not_the_commit() {
    let database = database().await;
    let link = Link::to(&database.url).await;
    let mut client = connect(link.url()).await;
    client.batch_execute("CREATE TABLE t (n int)").await.expect("through the whole link");

    link.cut_after_commit();
    let transaction = client.transaction().await.expect("begin");
    transaction.execute("INSERT INTO t VALUES (1)", &[]).await.expect("insert");
    transaction.commit().await.expect_err("the answer is lost");
    assert!(link.is_cut());

    let count = database.connect().await.query_one("SELECT count(*) FROM t", &[]).await.expect("reading");
    assert_eq!(count.get::<_, i64>(0), 1, "the transaction itself was committed");

    link.mend();
    connect(link.url()).await.simple_query("SELECT 1").await.expect("through the mended link");
}

#[tokio::test]
async fn a_frozen_link_says_nothing_until_it_is_mended_and_a_slow_one_says_it_late() {
    let database = database().await;
    let link = Link::to(&database.url).await;
    let client = connect(link.url()).await;
    link.freeze();
    let mut question = std::pin::pin!(client.simple_query("SELECT 1"));
    tokio::time::timeout(Duration::from_millis(200), &mut question).await.expect_err("no answer");
    link.mend();
    question.await.expect("the answer");

    link.delay(Duration::from_millis(150));
    let asked = Instant::now();
    client.simple_query("SELECT 1").await.expect("a late answer");
    assert!(asked.elapsed() >= Duration::from_millis(300), "held back both ways");
}
