//! What the office does for one server: asks how it is, looks whether it takes connections again, and ends its ejection.
//!
//! Without it a server that gets no requests would never be heard of again, nor would an upstream that others send no
//! requests to because of what we report about it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::dial::dial;
use super::fleet::Standing;
use super::refusal::Refusal;
use super::standing::ServerStanding;
use crate::telemetry::causes::Causes;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(500);
/// Time between two attempts to connect to a server that took no connection.
const KNOCK_INTERVAL: Duration = Duration::from_secs(1);
/// Longest time of such an attempt.
const KNOCK_PATIENCE: Duration = Duration::from_secs(3);

/// Looks after the server with this number, for ever.
pub(super) async fn look_after(standing: Arc<Standing>, number: usize) {
    let Some(server) = standing.servers.get(number).map(Arc::clone) else { return };
    let health = &standing.config.health;
    let mut looks = interval(INTERVAL.min(health.interval));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut knocked, mut checked) = (Instant::now(), None::<Instant>);
    let mut checks = Checks::default();
    loop {
        looks.tick().await;
        server.end_ejection_when_due(standing.config.eject_after);
        // What requests of before a reload found out is told to that which looked after the server then.
        standing.note_silence();
        standing.complain_of_the_rest();
        if let Some(path) = &health.path
            && checked.is_none_or(|checked| checked.elapsed() >= health.interval)
        {
            checked = Some(Instant::now());
            let outcome = ask(&standing, number, &server, path).await;
            let error = outcome.as_ref().err().cloned().unwrap_or_default();
            if let Some(healthy) = checks.note(outcome.is_ok(), health.fall, health.rise) {
                standing.note_health(number, healthy, &error);
            }
        } else if server.is_down() && knocked.elapsed() >= KNOCK_INTERVAL {
            knocked = Instant::now();
            if dial(&server, 0, KNOCK_PATIENCE).await.is_ok() {
                standing.note_connection(number, true);
            }
        }
    }
}

/// Checks in a row that said the same.
#[derive(Debug, Default)]
struct Checks {
    passed: u32,
    failed: u32,
}

impl Checks {
    /// What the checks say together, if they say anything.
    fn note(&mut self, passed: bool, fall: u32, rise: u32) -> Option<bool> {
        if passed {
            (self.passed, self.failed) = (self.passed.saturating_add(1), 0);
            (self.passed >= rise).then_some(true)
        } else {
            (self.passed, self.failed) = (0, self.failed.saturating_add(1));
            (self.failed >= fall).then_some(false)
        }
    }
}

/// One check. What it finds out about connections is noted.
async fn ask(
    standing: &Arc<Standing>,
    number: usize,
    server: &Arc<ServerStanding>,
    path: &str,
) -> Result<(), String> {
    let health = &standing.config.health;
    let exchange = async {
        let (socket, _) = match dial(server, 0, health.timeout).await {
            Ok(connected) => connected,
            Err(refusal) => return Err(Causes(&refusal).to_string()),
        };
        if server.is_down() {
            standing.note_connection(number, true);
        }
        let closed = |error: hyper::Error| Causes(&Refusal::UpstreamClosed(error)).to_string();
        let (mut sender, connection) =
            http1::Builder::new().handshake(TokioIo::new(socket)).await.map_err(closed)?;
        let host = health.host.as_deref().unwrap_or(&server.authority);
        let request = Request::get(path)
            .header(HOST, host)
            .header(USER_AGENT, HeaderValue::from_static("utm-dispatcher-health-check"))
            .header(CONNECTION, HeaderValue::from_static("close"))
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let answer = async { sender.send_request(request).await.map(|response| response.status()) };
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            _ = connection => answer.await,
        }
        .map_err(closed)
        .and_then(judge)
    };
    timeout(health.timeout, exchange).await.unwrap_or(Err("it did not answer in time".to_owned()))
}

fn judge(status: StatusCode) -> Result<(), String> {
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(format!("status {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_check_is_not_enough() {
        let mut checks = Checks::default();
        let said: Vec<Option<bool>> = [false, false, true, false, false, false, true, true]
            .map(|passed| checks.note(passed, 3, 2))
            .to_vec();
        assert_eq!(said, [None, None, None, None, None, Some(false), None, Some(true)]);
    }
}
