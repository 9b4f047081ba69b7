//! A page view of somebody who is known costs the database as little as can be.

use super::*;
use crate::harness::postgres;

const DAY: u64 = 24 * 60 * MINUTE;

fn view(visitor: u8, at_ms: u64) -> Record<'static> {
    hit(page_view(identity(visitor, 1, TEN), at_ms))
}

/// The visitor's row; also changes when it is written as it was.
async fn row(client: &Client) -> (String, String) {
    let seen = "SELECT to_char(first_seen AT TIME ZONE 'UTC', 'DD HH24:MI') || to_char(last_seen AT TIME ZONE 'UTC', ', DD HH24:MI') FROM visitors";
    let version = "SELECT (ctid, xmin, xmax)::text FROM visitors";
    (value(client, seen).await.unwrap(), value(client, version).await.unwrap())
}

#[tokio::test]
async fn a_visitor_is_written_once_a_day() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let (mut shipper, mut journal) = (shipper(&database), Journal::new());
    shipper.checkpoints(&[journal.id]).await.unwrap();
    shipper.ship(journal.batch(&[view(1, TEN + MINUTE)])).await.unwrap();
    let (seen, first) = row(&client).await;
    assert_eq!(seen, "22 10:01, 22 00:00");

    shipper.ship(journal.batch(&[view(1, TEN + 2 * MINUTE)])).await.unwrap();
    assert_eq!(row(&client).await, (seen, first.clone()), "neither written nor locked");
    assert_eq!(value(&client, "SELECT page_views FROM sessions").await.unwrap(), "2");

    shipper.ship(journal.batch(&[view(1, TEN)])).await.unwrap();
    let (seen, earlier) = row(&client).await;
    assert_eq!(seen, "22 10:00, 22 00:00", "what comes late was first");
    assert_ne!(first, earlier);

    shipper.ship(journal.batch(&[view(1, TEN + DAY)])).await.unwrap();
    let (seen, next_day) = row(&client).await;
    assert_eq!(seen, "22 10:00, 23 00:00");

    shipper.ship(journal.batch(&[view(1, TEN + DAY), view(1, TEN + MINUTE)])).await.unwrap();
    assert_eq!(row(&client).await, (seen, next_day));
}

#[tokio::test]
async fn a_visitor_is_written_again_to_a_database_that_failed() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let (mut shipper, mut journal) = (shipper(&database), Journal::new());
    shipper.checkpoints(&[journal.id]).await.unwrap();
    shipper.ship(journal.batch(&[view(1, TEN)])).await.unwrap();
    // As a database that was restored to an earlier state.
    client.batch_execute("TRUNCATE visitors; UPDATE journal_checkpoint SET \"offset\" = 0").await.unwrap();
    let refused = shipper.ship(journal.batch(&[view(1, TEN + MINUTE)])).await;
    assert!(refused.is_err(), "{refused:?}");

    let mut journal = Journal { id: journal.id, written: 0 };
    shipper.ship(journal.batch(&[view(1, TEN + MINUTE)])).await.unwrap();
    assert_eq!(row(&client).await.0, "22 10:01, 22 00:00");
}

#[tokio::test]
async fn a_session_that_goes_on_leaves_its_indexes_alone() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let (mut shipper, mut journal) = (shipper(&database), Journal::new());
    shipper.checkpoints(&[journal.id]).await.unwrap();
    // Several pages full; each batch goes on with some of each, as many as there is room for while nothing that they leave
    // behind is cleared away: a transaction of another database of the server can keep it.
    let mut views = |first: u8, step: usize, minute: u64| {
        let visitors = (first..200).step_by(step);
        journal.batch(&visitors.map(|visitor| view(visitor, TEN + minute * MINUTE)).collect::<Vec<_>>())
    };
    shipper.ship(views(0, 1, 0)).await.unwrap();
    for first in 0..4 {
        shipper.ship(views(first, 20, 1)).await.unwrap();
    }
    let updates = "SELECT n_tup_upd || ' ' || (n_tup_hot_upd > 0.9 * n_tup_upd) FROM pg_stat_user_tables
                   WHERE relname = 'sessions_2026_11'";
    // A connection that ends says at once what it did, an idle one some time later.
    drop(shipper);
    for _ in 0..200 {
        if value(&client, updates).await.unwrap() == "40 true" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("updates, and whether they were hot: {}", value(&client, updates).await.unwrap());
}
