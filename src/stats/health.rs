//! `/healthz`, `/readyz`, `/metrics`: for machines that look after this one. None of them waits for the database.

use std::borrow::Cow;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use tokio::time::timeout;

use crate::clock::unix_ms;
use crate::stats::access::admit;
use crate::stats::{AppState, Shared};
use crate::telemetry::metrics::State as Conditions;

/// From which age on waiting records are told; a batch takes less than a second.
const BEHIND_SECONDS: u64 = 300;

/// For how long a disk may be asked; looking for journals takes milliseconds.
const DISK_HANGS_SECONDS: u64 = 5;

const TOKEN_WAIT: Duration = Duration::from_millis(300);

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
    let fatal = fatal_reasons(conditions, shared.context.config.upstreams.len());
    let reasons = degrading_reasons(&shared, conditions);
    let (status, word) = match (fatal.is_empty(), reasons.is_empty()) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        (true, false) => (StatusCode::OK, "degraded"),
        (true, true) => (StatusCode::OK, "ready"),
    };
    let mut text = format!("{word}\n");
    if (!fatal.is_empty() || !reasons.is_empty()) && may_know(&shared, &parts).await {
        for reason in fatal.into_iter().chain(reasons) {
            text.push_str(&reason);
            text.push('\n');
        }
    }
    (status, PLAIN, text).into_response()
}

/// Whether the reasons may be told. A probe does not wait for a database that holds the tokens and does not answer.
async fn may_know(shared: &Shared, parts: &Parts) -> bool {
    matches!(timeout(TOKEN_WAIT, admit(shared, parts)).await, Ok(Ok(())))
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

fn degrading_reasons(shared: &Shared, conditions: &Conditions) -> Vec<Cow<'static, str>> {
    let mut reasons = Vec::new();
    let standstill = conditions.standstill.lock().unwrap_or_else(PoisonError::into_inner);
    reasons.extend(standstill.as_ref().map(|why| format!("{why}; nothing is shipped").into()));
    let mut check = |bad: bool, reason: &'static str| {
        if bad {
            reasons.push(reason.into());
        }
    };
    let disk_hangs = conditions.disk_asked_seconds(unix_ms()) > DISK_HANGS_SECONDS;
    check(disk_hangs, "journal: its disk does not answer; nothing is shipped");
    let database_up = conditions.database_up.load(Ordering::Relaxed);
    // While the disk hangs nobody asks the database.
    check(!database_up && !disk_hangs, "database: it does not answer; hits wait in the journal");
    check(
        conditions.journal_stalled.load(Ordering::Relaxed),
        "journal: it takes no records; responses do not wait for it",
    );
    check(
        conditions.journals_unreadable.load(Ordering::Relaxed) > 0,
        "journal: one of an earlier run cannot be read, or waits for a newer version; the log says which",
    );
    check(
        conditions.unshipped_seconds(unix_ms()) > BEHIND_SECONDS,
        "behind: records have waited for the database for more than five minutes",
    );
    check(
        conditions.replica_away.load(Ordering::Relaxed),
        "replica: the database of stats.database_url does not answer; neither do reports",
    );
    check(
        dropped_records(shared) > 0,
        "drops: records were lost since the start, see hits_dropped in /metrics",
    );
    check(
        conditions.key_differs.load(Ordering::Relaxed),
        "key: another proxy signs with another key; give all of them the same secret_file",
    );
    check(
        conditions.undeclared_proxy.load(Ordering::Relaxed),
        "undeclared proxy: a private peer sends forwarding headers; the log has the trusted_proxies line to add",
    );
    reasons
}

/// Records lost since the start, whatever the reason. Families can be summed in their exposition only.
fn dropped_records(shared: &Shared) -> u64 {
    let text = exposition(shared).unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with("utm_dispatcher_hits_dropped_total"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
