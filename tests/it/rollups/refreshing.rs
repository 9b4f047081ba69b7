//! Refreshes beside batches and beside each other.

use jiff::SignedDuration;
use utm_dispatcher::store::rollups::{Refreshed, refresh};

use super::{at, count, held_refreshes, is_held, reports_agree_with_sessions, roll_up, told};
use crate::harness::postgres;
use crate::stats::seed::{Seed, Visit};
use crate::stats::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_commits_beside_a_refresh_is_not_lost() {
    let seed = Seed::new().await;
    let server = Server::start(&seed.database.url).await;
    let now = at("2026-11-12T00:00:00Z");
    seed.visit(&Visit::default()).await;
    // Begun before the refresh, committed in the midst of it; and begun and committed in the midst of it.
    let early = Seed { client: seed.database.connect().await, database: postgres::database().await };
    early.client.batch_execute("BEGIN").await.unwrap();
    early.visit(&Visit { visitor: 2, ..Visit::default() }).await;
    let holder = held_refreshes(&seed.database).await;
    let store = seed.database.store();
    let running = tokio::spawn(async move { refresh(&store, now).await.unwrap() });
    is_held(&seed.client).await;
    early.client.batch_execute("COMMIT").await.unwrap();
    seed.visit(&Visit { visitor: 3, ..Visit::default() }).await;
    let report = ["general-stats?from=2026-11-01&to=2026-12-01".to_owned()];
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(
        running.await.unwrap(),
        Some(Refreshed { hours: 1, order_days: 0, waiting: 1 }),
        "what came later is marked"
    );
    assert_eq!(told(&server, &report[0]).await["results"]["total_sessions"], 3);
    reports_agree_with_sessions(&seed, &server, &report).await;
    roll_up(&seed.database, now).await;
    assert_eq!(count(&seed.client, "dirty_hours").await, 0);
    assert_eq!(told(&server, &report[0]).await["results"]["total_sessions"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_refresh_keeps_out_of_the_way_of_the_first() {
    let seed = Seed::new().await;
    let now = at("2026-11-12T00:00:00Z");
    seed.visit(&Visit::default()).await;
    let holder = held_refreshes(&seed.database).await;
    let store = seed.database.store();
    let running = tokio::spawn(async move { refresh(&store, now).await.unwrap() });
    is_held(&seed.client).await;
    assert_eq!(refresh(&seed.database.store(), now).await.unwrap(), None);
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(running.await.unwrap(), Some(Refreshed { hours: 1, order_days: 0, waiting: 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_refreshes_beside_many_batches_come_to_the_same() {
    let seed = Seed::new().await;
    let server = Server::start(&seed.database.url).await;
    let now = at("2026-11-13T00:00:00Z");
    let writers: Vec<_> = (0..3u32)
        .map(|writer| {
            let url = seed.database.url.clone();
            tokio::spawn(async move {
                let database = postgres::database().await;
                let seed = Seed { client: postgres::connect(&url).await, database };
                for number in 0..60 {
                    let at = at("2026-11-10T20:00:00Z") + SignedDuration::from_mins(i64::from(number * 7));
                    seed.visit(&Visit { at, visitor: (writer * 100 + number).into(), ..Visit::default() })
                        .await;
                }
            })
        })
        .collect();
    let refreshers: Vec<_> = (0..3)
        .map(|_| {
            let store = seed.database.store();
            tokio::spawn(async move {
                for _ in 0..40 {
                    refresh(&store, now).await.unwrap();
                }
            })
        })
        .collect();
    for task in writers.into_iter().chain(refreshers) {
        task.await.unwrap();
    }
    roll_up(&seed.database, now).await;
    assert_eq!(count(&seed.client, "dirty_hours").await, 0);
    let report = "general-stats?from=2026-11-10&to=2026-11-12".to_owned();
    assert_eq!(told(&server, &report).await["results"]["total_sessions"], 180);
    reports_agree_with_sessions(&seed, &server, &[report]).await;
}

#[tokio::test]
async fn marks_of_open_hours_are_many_only_until_the_next_refresh() {
    let seed = Seed::new().await;
    for visitor in 1..6 {
        seed.visit(&Visit { visitor, ..Visit::default() }).await;
    }
    assert_eq!(count(&seed.client, "dirty_hours").await, 5);
    refresh(&seed.database.store(), at("2026-11-10T11:30:00Z")).await.unwrap();
    assert_eq!(
        (count(&seed.client, "dirty_hours").await, count(&seed.client, "session_quarters").await),
        (1, 0)
    );
    refresh(&seed.database.store(), at("2026-11-10T12:30:00Z")).await.unwrap();
    assert_eq!(
        (count(&seed.client, "dirty_hours").await, count(&seed.client, "session_quarters").await),
        (0, 1)
    );
}
