//! `/healthz`, `/readyz`, `/metrics`: for machines that look after this one. None of them waits for the database.

use std::borrow::Cow;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;

use crate::clock::unix_ms;
use crate::hit::Importance;
use crate::journal::admits;
use crate::stats::access::admit;
use crate::stats::{AppState, Shared};
use crate::telemetry::metrics::State as Conditions;

/// From which age on waiting records are told; a batch takes less than a second.
const BEHIND_SECONDS: u64 = 60;

/// For how long a disk may be asked; looking for journals takes milliseconds.
const DISK_HANGS_SECONDS: u64 = 10;

const PLAIN: [(HeaderName, &str); 2] =
    [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")];

/// `GET /healthz`: the process lives.
pub(crate) async fn healthz() -> Response {
    (PLAIN, "ok\n").into_response()
}

/// `GET /readyz`: "ready", "degraded" or "not ready"; the lines that follow say why, to those who may know.
///
/// 503 only while draining or when no upstream answers: a probe must not take the shop down with the database.
pub(crate) async fn readyz(State(shared): AppState, parts: Parts) -> Response {
    let conditions = &shared.context.metrics.state;
    let fatal = fatal_reasons(conditions, shared.config().upstreams.len());
    let reasons = degrading_reasons(&shared, conditions);
    let (status, word) = match (fatal.is_empty(), reasons.is_empty()) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        (true, false) => (StatusCode::OK, "degraded"),
        (true, true) => (StatusCode::OK, "ready"),
    };
    let mut text = format!("{word}\n");
    let lines: Vec<_> = fatal.into_iter().chain(reasons).chain(warnings(&shared)).collect();
    if !lines.is_empty() && admit(&shared, &parts).await.is_ok() {
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
    }
    (status, PLAIN, text).into_response()
}

/// `GET /metrics`: Prometheus text.
pub(crate) async fn metrics(State(shared): AppState) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match exposition(&shared) {
        Some(text) => ([(CONTENT_TYPE, content_type)], text).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn exposition(shared: &Shared) -> Option<String> {
    let metrics = &shared.context.metrics;
    let age = metrics.state.unshipped_seconds(unix_ms());
    metrics.journal_oldest_unshipped_seconds.set(i64::try_from(age).unwrap_or(i64::MAX));
    let mut text = String::new();
    encode(&mut text, &shared.registry).ok()?;
    Some(text)
}

fn fatal_reasons(conditions: &Conditions, upstreams: usize) -> Vec<Cow<'static, str>> {
    let mut reasons = Vec::new();
    if conditions.draining.load(Ordering::Relaxed) {
        reasons.push("draining: the process is shutting down".into());
    }
    let down = usize::try_from(conditions.upstreams_down.load(Ordering::Relaxed)).unwrap_or(0);
    if upstreams > 0 && down >= upstreams {
        reasons.push("upstream: none answers".into());
    }
    reasons
}

/// Reasons to look after it; the shop is served.
fn degrading_reasons(shared: &Shared, conditions: &Conditions) -> Vec<Cow<'static, str>> {
    let mut reasons = Vec::new();
    let refused = conditions.config_refused.lock().unwrap_or_else(PoisonError::into_inner);
    reasons.extend(refused.as_ref().map(|problem| {
        format!("config: what was reloaded is wrong, {problem}; the configuration before it is in force")
            .into()
    }));
    let standstill = conditions.standstill.lock().unwrap_or_else(PoisonError::into_inner);
    reasons.extend(standstill.as_ref().map(|why| format!("{why}; nothing is shipped").into()));
    let disk_hangs = conditions.disk_asked_seconds(unix_ms()) > DISK_HANGS_SECONDS;
    journal_reasons(shared, disk_hangs, &mut reasons);
    let mut check = |bad: bool, reason: &'static str| {
        if bad {
            reasons.push(reason.into());
        }
    };
    // While the disk hangs nobody asks the database.
    let database_up = conditions.database_up.load(Ordering::Relaxed) || disk_hangs;
    check(!database_up, "database: it does not answer; hits wait in the journal");
    check(
        conditions.unshipped_seconds(unix_ms()) > BEHIND_SECONDS,
        "behind: records have waited for the database for more than a minute",
    );
    check(
        conditions.replica_away.load(Ordering::Relaxed),
        "replica: the database of stats.database_url does not answer; neither do reports",
    );
    check(
        shared.context.metrics.dropped() > 0,
        "drops: records were lost since the start, see hits_dropped in /metrics",
    );
    check(
        conditions.key_differs.load(Ordering::Relaxed),
        "key: another proxy signs with another key; give all of them the same secret_file",
    );
    check(
        conditions.keys_unsaved.load(Ordering::Relaxed),
        "key: a new key is in memory only, its disk does not take it; a restart would make every visitor new",
    );
    check(
        conditions.keys_replaced.load(Ordering::Relaxed),
        "key: the key file has another key than this process signs with; restart it",
    );
    check(
        conditions.undeclared_proxy.load(Ordering::Relaxed),
        "undeclared proxy: a private peer sends forwarding headers; the log has the trusted_proxies line to add",
    );
    check(
        conditions.certificates_refused.load(Ordering::Relaxed),
        "certificates: changed files cannot be used, those read before are; the log says why",
    );
    reasons
}

/// What is wrong with the journal and those of earlier runs.
fn journal_reasons(shared: &Shared, disk_hangs: bool, reasons: &mut Vec<Cow<'static, str>>) {
    let metrics = &shared.context.metrics;
    let conditions = &metrics.state;
    let refused = conditions.journal_refused.lock().unwrap_or_else(PoisonError::into_inner);
    reasons.extend(refused.as_ref().map(|said| {
        let text = format!(
            "journal: it takes no records, {said}; some wait in memory, further ones are dropped, page views first"
        );
        text.into()
    }));
    let mut check = |bad: bool, reason: &'static str| {
        if bad {
            reasons.push(reason.into());
        }
    };
    check(
        conditions.journal_stalled.load(Ordering::Relaxed),
        "journal: it takes no records, its disk does not answer in time; responses do not wait for it",
    );
    check(
        conditions.journal_misplaced.load(Ordering::Relaxed),
        "journal: the files that it is written to were moved or removed, and are not put back; nothing of them is \
         shipped, and a restart may lose it; the log says more",
    );
    check(disk_hangs, "journal: its disk does not answer; nothing is shipped");
    let held = u64::try_from(metrics.journal_held_bytes.get()).unwrap_or(0);
    check(
        !admits(Importance::PageView, held, shared.config().journal.max_bytes),
        "journal: it is full (journal.max_bytes); page views are dropped first, then actions, then the rest",
    );
    check(
        conditions.sync_fails.load(Ordering::Relaxed),
        "journal: it cannot be forced to the disk; a power cut would lose what was seen last",
    );
    check(
        conditions.journals_unseen.load(Ordering::Relaxed),
        "journal: those of earlier runs cannot be looked for; the log says why",
    );
    let counted = [
        (metrics.journals_unreadable.get(), "that cannot be read; the log says which"),
        (metrics.journals_newer.get(), "that only a newer version can ship"),
    ];
    for (journals, what) in counted.into_iter().filter(|(journals, _)| *journals > 0) {
        reasons.push(format!("journal: earlier runs left {journals} {what}").into());
    }
}

/// What somebody should see to some day; it makes nothing worse meanwhile.
fn warnings(shared: &Shared) -> Option<Cow<'static, str>> {
    let records = shared.context.metrics.quarantine_records.get();
    (records > 0).then(|| {
        let text = format!(
            "warning: quarantine: {records} records could not be stored; the table quarantine has them and the reasons"
        );
        text.into()
    })
}
