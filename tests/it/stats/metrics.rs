//! README's table of metrics and `/metrics` say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use utm_dispatcher::hit::Importance;
use utm_dispatcher::telemetry::metrics::{
    self, Kind, Loss, Metrics, Reason, ServerLabels, Tally, UpstreamLabel,
};

use super::server::Server;

/// By name: type and labels.
type Table = BTreeMap<String, (String, BTreeSet<String>)>;

/// Gives each family a member: one without is not shown. A new metric does not compile until it is named here.
fn fill(metrics: &Metrics) {
    let Metrics {
        traffic,
        access_log_dropped: _,
        connections: _,
        connections_open: _,
        connections_refused,
        tls_certificate_end_unix_seconds: _,
        upstream_errors,
        upstream_retries: _,
        upstream_waiting,
        upstream_server_requests,
        upstream_server_failures,
        upstream_server_connections,
        upstream_server_ejections,
        upstream_server_in_flight,
        upstream_server_up,
        requests_refused,
        targets_escaped: _,
        hits: _,
        page_views: _,
        hits_ignored,
        bodies_unread,
        hits_dropped: _,
        responses_ahead_of_journal: _,
        journal_frames_damaged: _,
        journal_held_bytes: _,
        journal_sync_failures: _,
        journals_adopted: _,
        journals_unreadable: _,
        journals_newer: _,
        journal_oldest_unshipped_seconds: _,
        batches: _,
        records_shipped: _,
        records_quarantined: _,
        quarantine_records: _,
        values_overflowed,
        batch_failures,
        batch: _,
        records_refused,
        partitions_dropped,
        partitions_due: _,
        rows_deleted,
        rollup_hours_waiting: _,
        rollup_hours: _,
        rollup_seconds: _,
        rollup_refreshed_unix_seconds: _,
        replica_lag_seconds: _,
        config_reloads: _,
        config_loaded_unix_seconds: _,
        state: _,
    } = metrics;
    let second = Some(Duration::from_secs(1));
    traffic.open(vec!["some".to_owned()]).end(0, 200, Duration::from_secs(1), second, 1);
    let families = [upstream_errors, requests_refused, connections_refused, hits_ignored, batch_failures];
    for family in families.into_iter().chain([records_refused, bodies_unread]) {
        family.get_or_create(&Reason { reason: "some" }).inc();
    }
    for family in [partitions_dropped, rows_deleted] {
        family.get_or_create(&metrics::Table { table: "some".to_owned() }).inc();
    }
    let server = ServerLabels { upstream: "shop".to_owned(), server: "http://127.0.0.1:1".to_owned() };
    for family in [
        upstream_server_requests,
        upstream_server_failures,
        upstream_server_connections,
        upstream_server_ejections,
    ] {
        family.get_or_create(&server).inc();
    }
    upstream_server_up.get_or_create(&server).set(1);
    upstream_server_in_flight.get_or_create(&server).set(1);
    upstream_waiting.get_or_create(&UpstreamLabel { upstream: "shop".to_owned() }).set(1);
    values_overflowed.get_or_create(&Kind { kind: "some" }).inc();
    metrics.count_dropped(Loss::Full, Tally::one(Importance::Action));
}

/// What `/metrics` shows.
fn shown(text: &str) -> Table {
    let mut table = Table::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# TYPE utm_dispatcher_") {
            let (bare, kind) = described.split_once(' ').unwrap();
            name = if kind == "counter" { format!("{bare}_total") } else { bare.to_owned() };
            table.insert(name.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((_, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            let (labels, _) = labels.split_once('}').unwrap();
            let names = labels.split(',').map(|label| label.split_once('=').unwrap().0);
            // Of a histogram's own.
            let names = names.filter(|label| *label != "le").map(str::to_owned);
            table.get_mut(&name).unwrap().1.extend(names);
        }
    }
    table
}

/// What README's table says; each row has a unit and a meaning.
fn documented() -> Table {
    let readme = include_str!("../../../README.md");
    let (_, section) = readme.split_once("\n## Metrics\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, unit, what, _alarm] = cells[..] else { panic!("{row}") };
        assert!(!unit.is_empty() && !what.is_empty(), "{row}");
        let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (name.trim_matches('`').to_owned(), (kind.to_owned(), labels))
    })
    .collect()
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_one_is_there() {
    let server = Server::start("postgres://nobody@127.0.0.1:1/nothing").await;
    fill(&server.metrics);
    let text = server.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert_eq!(shown(&text), documented());
    assert!(
        text.contains(r#"hits_dropped_total{kind="rest",reason="journal_full"} 0"#),
        "from the start: {text}"
    );
}
