//! Rollups: reports say through them what the sessions say, at any moment, whoever writes or dies meanwhile.

mod agreement;
mod dropped;
mod orders;
mod products;
mod program;
mod refreshing;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_postgres::Client;
use utm_dispatcher::store::rollups::refresh;

use crate::harness::postgres::Database;
use crate::harness::{DEADLINE, eventually};
use crate::stats::seed::Seed;
use crate::stats::server::Server;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Refreshes until nothing is left to do.
async fn roll_up(database: &Database, now: Timestamp) {
    while refresh(&database.store(), now).await.unwrap().unwrap().hours > 0 {}
}

async fn count(client: &Client, what: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
}

/// What a report says, without the time at which it said it.
async fn told(server: &Server, target: &str) -> Value {
    let mut answer = server.report(target).await;
    answer["meta"]["generated_at"] = json!("now");
    // The middle of all time goes on with it.
    if target.contains("period=all_time")
        && let Some(windows) = answer.pointer_mut("/results/windows")
    {
        *windows = json!("now");
    }
    answer
}

/// What reports say now, and what they say when nothing is summed up; fails where that differs.
async fn reports_agree_with_sessions(seed: &Seed, server: &Server, targets: &[String]) {
    let mut through_rollups = Vec::new();
    for target in targets {
        through_rollups.push(told(server, target).await);
    }
    seed.client
        .batch_execute(
            "CREATE TEMPORARY TABLE marks AS SELECT * FROM dirty_hours;
             INSERT INTO dirty_hours SELECT DISTINCT session_hour FROM sessions",
        )
        .await
        .unwrap();
    for (target, through_rollups) in targets.iter().zip(through_rollups) {
        assert_eq!(through_rollups, told(server, target).await, "{target}");
    }
    seed.client
        .batch_execute(
            "BEGIN; DELETE FROM dirty_hours; INSERT INTO dirty_hours SELECT * FROM marks; DROP TABLE marks; COMMIT",
        )
        .await
        .unwrap();
}

/// Holds every refresh between the deletion of marks and the summing up, until it is rolled back.
async fn held_refreshes(database: &Database) -> Client {
    let client = database.connect().await;
    client.batch_execute("BEGIN; LOCK TABLE session_quarters IN ACCESS EXCLUSIVE MODE").await.unwrap();
    client
}

async fn is_held(client: &Client) {
    eventually("a refresh that waits", DEADLINE, async || {
        // Tables of other tests' databases have the same number.
        let waits = "pg_locks WHERE relation = 'session_quarters'::regclass AND NOT granted
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        (count(client, waits).await == 1).then_some(())
    })
    .await;
}
