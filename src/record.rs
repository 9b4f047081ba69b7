//! What one worker needs to record: looks at a request, concludes when the response's head is there, hands the record
//! to the journal and lets the response wait for it.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode, Uri};
use prometheus_client::metrics::counter::Counter;
use uuid::Uuid;

use crate::capture::query::strip;
use crate::capture::{
    Arrival, CLIENT_CLOSED_REQUEST, Conclusion, Ignored, Observation, ResponseHead, Rules, Secrets,
    X_UTM_EVENT, cookie,
};
use crate::clock::WallClock;
use crate::config::{self, TrackingMode};
use crate::erasure::Forgotten;
use crate::exclusion::CurrentExclusions;
use crate::forward::Client;
use crate::hit::Record;
use crate::journal::hand::{Hand, Ticket};
use crate::journal::writer::Batch;
use crate::keys::KeyRing;
use crate::route::Route;
use crate::salts::Salts;
use crate::telemetry::metrics::{Metrics, Reason};

/// What all workers record with.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The way to the journal.
    pub batches: Sender<Batch>,
    /// How long a response waits for its record.
    pub wait: Duration,
    /// The keys of the cookie.
    pub keys: Arc<KeyRing>,
    /// The salt of cookieless ids.
    pub salts: Salts,
    /// Whose cookies are none.
    pub forgotten: Forgotten,
    /// Who and what is left out.
    pub exclusions: CurrentExclusions,
    /// What time it is.
    pub clock: WallClock,
}

/// The recording side of one worker.
#[derive(Debug, Clone)]
pub struct Recorder {
    hand: Hand,
    rules: Arc<Rules>,
    keys: Arc<KeyRing>,
    salts: Salts,
    forgotten: Forgotten,
    exclusions: CurrentExclusions,
    clock: WallClock,
    is_on: bool,
    tells_upstream: bool,
    page_views: Counter,
    /// By [`Ignored`].
    ignored: [Counter; Ignored::ALL.len()],
}

/// A request that is looked at. Dropped before its conclusion, the client has gone away: that is recorded too.
#[derive(Debug)]
pub struct Watch {
    recorder: Rc<Recorder>,
    observation: Option<Observation>,
    site: Arc<str>,
    trust_events: bool,
}

impl Recorder {
    /// Must be called on the worker's own thread, within its runtime.
    pub fn start(
        recording: &Recording,
        tracking: &config::Tracking,
        rules: &Arc<Rules>,
        metrics: &Arc<Metrics>,
    ) -> Rc<Self> {
        Rc::new(Self {
            hand: Hand::start(recording.batches.clone(), recording.wait, Arc::clone(metrics)),
            rules: Arc::clone(rules),
            keys: Arc::clone(&recording.keys),
            salts: recording.salts.clone(),
            forgotten: recording.forgotten.clone(),
            exclusions: recording.exclusions.clone(),
            clock: recording.clock.clone(),
            is_on: tracking.mode == TrackingMode::Record,
            tells_upstream: tracking.upstream_headers,
            page_views: metrics.page_views.clone(),
            ignored: Ignored::ALL.map(|ignored| {
                metrics.hits_ignored.get_or_create_owned(&Reason { reason: ignored.reason() })
            }),
        })
    }

    /// One that goes by what was reloaded, with the same way to the journal.
    pub fn next(&self, tracking: &config::Tracking, rules: &Arc<Rules>) -> Rc<Self> {
        Rc::new(Self {
            rules: Arc::clone(rules),
            is_on: tracking.mode == TrackingMode::Record,
            tells_upstream: tracking.upstream_headers,
            ..self.clone()
        })
    }

    /// Looks at a request's head, as the client sent it.
    pub fn watch(self: &Rc<Self>, head: &Parts, route: &Route, client: Client) -> Watch {
        let observation = if self.is_on && route.tracking {
            let arrival = Arrival { at_ms: self.clock.now_ms(), client: client.address, https: client.https };
            let mut observation =
                Observation::of(&head.method, &head.uri, &head.headers, arrival, &self.rules);
            match &mut observation {
                Some(observation) => observation.exclude(&self.exclusions.now(), &self.rules),
                None => self.count_ignored(Ignored::Asset),
            }
            observation
        } else {
            None
        };
        Watch {
            recorder: Rc::clone(self),
            observation,
            site: Arc::clone(&route.site),
            trust_events: route.trust_events,
        }
    }

    /// Takes our cookie out of the fields, which no shop ever sees, and where it is tracked the tracking parameters off
    /// the target.
    pub fn strip(&self, head: &mut Parts, route: &Route) {
        cookie::hide(&mut head.headers, self.rules.cookie_name());
        if !self.is_on || !route.tracking {
            return;
        }
        if matches!(head.method, Method::GET | Method::HEAD)
            && let Some(target) =
                head.uri.path_and_query().and_then(|target| strip(target.as_str().as_bytes(), &route.strip))
            && let Ok(target) = PathAndQuery::from_maybe_shared(bytes::Bytes::from(target))
        {
            head.uri = Uri::from(target);
        }
    }

    fn count_ignored(&self, reason: Ignored) {
        self.ignored[reason as usize].inc();
    }

    /// Hands over what is pending; the worker ends afterwards.
    pub async fn close(&self) {
        self.hand.close().await;
    }
}

impl Watch {
    /// Tells the shop who comes, where it wants to know (`tracking.upstream_headers`).
    pub fn tell_upstream(&mut self, headers: &mut HeaderMap) {
        let Some(observation) = self.observation.as_mut().filter(|_| self.recorder.tells_upstream) else {
            return;
        };
        let salt = self.recorder.salts.today();
        let forgotten = self.recorder.forgotten.now();
        let secrets = Secrets { keys: &self.recorder.keys, salt: &salt, forgotten: &forgotten };
        let Some((identity, touch)) = observation.preview(secrets, &self.recorder.rules, Uuid::now_v7) else {
            return;
        };
        let mut tell = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(&percent_encoded(value)) {
                headers.insert(name, value);
            }
        };
        tell("x-utm-visitor", &identity.visitor_id.to_string());
        tell("x-utm-session", &identity.session_id.to_string());
        let Some(touch) = touch else { return };
        let fields = [
            ("x-utm-source", touch.source.as_deref()),
            ("x-utm-medium", touch.medium.as_deref()),
            ("x-utm-campaign", touch.campaign.as_deref()),
            ("x-utm-content", touch.content.as_deref()),
            ("x-utm-term", touch.term.as_deref()),
            ("x-utm-click-id", touch.click_ids.first().map(|(_, value)| value.as_ref())),
        ];
        for (name, value) in fields {
            value.into_iter().for_each(|value| tell(name, value));
        }
    }

    /// Records the exchange and sets the cookie; returns when the response may go out.
    pub async fn conclude<B>(mut self, response: &mut Response<B>) {
        let Some(observation) = self.observation.take() else {
            response.headers_mut().remove(X_UTM_EVENT);
            return;
        };
        let (set_cookie, ticket) = self.record(&observation, response.status(), response.headers());
        response.headers_mut().remove(X_UTM_EVENT);
        if let Some(line) = set_cookie {
            response.headers_mut().append(header::SET_COOKIE, line);
        }
        if let Some(ticket) = ticket {
            self.recorder.hand.written(ticket).await;
        }
    }

    fn record(
        &self,
        observation: &Observation,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> (Option<HeaderValue>, Option<Ticket>) {
        let recorder = &*self.recorder;
        let salt = recorder.salts.today();
        let forgotten = recorder.forgotten.now();
        let secrets = Secrets { keys: &recorder.keys, salt: &salt, forgotten: &forgotten };
        let Conclusion { mut record, mut set_cookie, mut page_view, mut ignored, .. } = observation.conclude(
            &self.site,
            ResponseHead { status, headers, trust_events: self.trust_events },
            secrets,
            &recorder.rules,
            Uuid::now_v7,
        );
        if let Some(Record::Hit(hit)) = &mut record
            && hit.identity.is_some_and(|identity| recorder.exclusions.now().excludes(identity.visitor_id))
        {
            (set_cookie, page_view, ignored) = (None, false, Some(Ignored::Excluded));
            hit.leave_only_orders();
            record = record.filter(|record| matches!(record, Record::Hit(hit) if !hit.actions.is_empty()));
        }
        if page_view {
            recorder.page_views.inc();
        }
        if let Some(reason) = ignored {
            recorder.count_ignored(reason);
        }
        (set_cookie, record.and_then(|record| recorder.hand.push(&record)))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(observation) = self.observation.take()
            && let Ok(status) = StatusCode::from_u16(CLIENT_CLOSED_REQUEST)
        {
            self.record(&observation, status, &HeaderMap::new());
        }
    }
}

/// A value as it may stand in a field: everything but visible ASCII, and `%` itself, percent-encoded.
fn percent_encoded(value: &str) -> String {
    use std::fmt::Write as _;
    value.bytes().fold(String::with_capacity(value.len()), |mut out, byte| {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
