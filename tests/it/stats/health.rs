//! Probes and metrics do not need the database; reports say that they do.

use std::sync::atomic::Ordering;

use utm_dispatcher::hit::Importance;
use utm_dispatcher::telemetry::metrics::{Loss, Tally};

use super::server::{Server, problem};

/// Nothing listens there.
const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nothing";

#[tokio::test]
async fn the_port_answers_with_the_database_away() {
    let server = Server::start(NOWHERE).await;
    let healthz = server.get("/healthz").send().await.unwrap();
    assert_eq!((healthz.status().as_u16(), healthz.text().await.unwrap().as_str()), (200, "ok\n"));
    let readyz = server.get("/readyz").send().await.unwrap();
    assert_eq!(readyz.status(), 200);
    let text = readyz.text().await.unwrap();
    assert!(text.starts_with("degraded\n") && text.contains("database:"), "{text}");
    let metrics = server.get("/metrics").send().await.unwrap();
    assert_eq!(metrics.status(), 200);
    assert!(metrics.text().await.unwrap().contains("utm_dispatcher_connections_total 0"));
    for report in ["general-stats", "sources", "sessions", "orders/1042/explain"] {
        let response = server.get(&format!("/api/v1/{report}")).send().await.unwrap();
        let (status, problem) = problem(response).await;
        assert_eq!((status, &problem["title"]), (503, &"Database away".into()), "{report}");
        assert!(!problem.to_string().contains("127.0.0.1"), "no internal text: {problem}");
    }
}

#[tokio::test]
async fn readiness_says_what_is_wrong_and_fails_only_when_the_shop_does() {
    let server = Server::start(NOWHERE).await;
    let state = &server.metrics.state;
    state.note_database(None);
    let ready = server.get("/readyz").send().await.unwrap();
    assert_eq!((ready.status().as_u16(), ready.text().await.unwrap().as_str()), (200, "ready\n"));
    server.metrics.quarantine_records.set(3);
    let warned = server.get("/readyz").send().await.unwrap();
    assert_eq!(warned.status(), 200);
    assert!(warned.text().await.unwrap().starts_with("ready\nwarning: quarantine: 3 records "));

    state.note_database(Some("schema: the database's is version 2, this program needs 3".to_owned()));
    state.replica_away.store(true, Ordering::Relaxed);
    state.key_differs.store(true, Ordering::Relaxed);
    state.keys_unsaved.store(true, Ordering::Relaxed);
    state.keys_replaced.store(true, Ordering::Relaxed);
    state.journal_stalled.store(true, Ordering::Relaxed);
    state.undeclared_proxy.store(true, Ordering::Relaxed);
    state.certificates_refused.store(true, Ordering::Relaxed);
    state.note_disk(Some("its disk has no room".to_owned()));
    state.sync_fails.store(true, Ordering::Relaxed);
    state.journals_unseen.store(true, Ordering::Relaxed);
    state.disk_asked_ms.store(1, Ordering::Relaxed);
    server.metrics.journals_unreadable.set(2);
    server.metrics.journals_newer.set(1);
    server.metrics.journal_held_bytes.set(1 << 30);
    state.oldest_unshipped_ms.store(1, Ordering::Relaxed);
    server.metrics.count_dropped(Loss::Full, Tally::one(Importance::PageView));
    let degraded = server.get("/readyz").send().await.unwrap();
    assert_eq!(degraded.status(), 200);
    insta::assert_snapshot!(degraded.text().await.unwrap());

    state.upstreams_down.store(1, Ordering::Relaxed);
    let failing = server.get("/readyz").send().await.unwrap();
    assert_eq!(failing.status(), 503);
    assert!(failing.text().await.unwrap().contains("upstream: none answers"));
    state.upstreams_down.store(0, Ordering::Relaxed);
    state.draining.store(true, Ordering::Relaxed);
    assert_eq!(server.get("/readyz").send().await.unwrap().status(), 503);
}
