//! What one worker needs to record: looks at a request, concludes when the response's head is there, hands the record
//! to the journal and lets the response wait for it.

mod late;

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode, Uri};
use http_body::Body;
use prometheus_client::metrics::counter::Counter;
use uuid::Uuid;

use crate::assets::Assets;
use crate::bodies::{BodyReader, Copies, Lack, SharedReader, Wanted};
use crate::capture::actions::{ActionRules, Asked, Bodies, BodyText, Stage};
use crate::capture::mask;
use crate::capture::query::strip;
use crate::capture::reasons::Reasons;
use crate::capture::restore::{Destination, made_private, restored};
use crate::capture::{
    Arrival, CLIENT_CLOSED_REQUEST, Conclusion, Fired, Ignored, Observation, ResponseHead, Rules, Secrets,
    X_UTM_EVENT, host,
};
use crate::clock::WallClock;
use crate::config::{self, TrackingMode};
use crate::customer::CustomerHasher;
use crate::erasure::Forgotten;
use crate::exclusion::CurrentExclusions;
use crate::forward::Client;
use crate::hit::{Action, CustomerKeyKind, Hit, Record, Touch, Way};
use crate::inspect::{Inspection, Journal, MOST_ACTIONS, Note, Verdict, capped};
use crate::journal::hand::{Hand, Ticket};
use crate::journal::writer::Batch;
use crate::keys::KeyRing;
use crate::route::Route;
use crate::salts::Salts;
use crate::telemetry::metrics::{Metrics, Reason};

pub use late::Late;

const FOR_CACHES_ONLY: [&str; 2] = ["cdn-cache-control", "surrogate-control"];

/// What all workers record with.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The way to the journal.
    pub batches: Sender<Batch>,
    /// How long a response waits for its record.
    pub wait: Duration,
    /// The keys of the cookie.
    pub keys: Arc<KeyRing>,
    /// The salts of cookieless ids.
    pub salts: Salts,
    /// Hashes what identifies customers.
    pub customers: CustomerHasher,
    /// Whose cookies are none.
    pub forgotten: Forgotten,
    /// Who and what is left out.
    pub exclusions: CurrentExclusions,
    /// Who fetches files of pages.
    pub assets: Assets,
    /// What time it is.
    pub clock: WallClock,
    /// Who wants to know why a request was counted.
    pub inspection: Inspection,
}

/// The recording side of one worker.
#[derive(Debug, Clone)]
pub struct Recorder {
    hand: Hand,
    rules: Arc<Rules>,
    actions: Arc<ActionRules>,
    keys: Arc<KeyRing>,
    customers: CustomerHasher,
    salts: Salts,
    forgotten: Forgotten,
    exclusions: CurrentExclusions,
    assets: Assets,
    clock: WallClock,
    inspection: Inspection,
    mode: TrackingMode,
    tells_upstream: bool,
    restores: bool,
    page_views: Counter,
    /// By [`Ignored`].
    ignored: [Counter; Ignored::ALL.len()],
    /// What the copies of bodies hold.
    copies: Copies,
    /// Copies that are not the whole body, by [`Lack`].
    bodies_unread: [Counter; Lack::ALL.len()],
}

/// A request that is looked at. Dropped before its conclusion, the client has gone away: that is recorded too.
#[derive(Debug)]
pub struct Watch {
    recorder: Rc<Recorder>,
    observation: Option<Box<Observation>>,
    site: Arc<str>,
    trust_events: bool,
    /// The action rules that it is for.
    asked: Option<Box<Asked>>,
    /// Reads a copy of its body, where a rule asks for it.
    request: Option<SharedReader>,
    /// What is told of it, while somebody looks.
    note: Option<Box<Note>>,
}

/// What an answer's body may tell of, once its head is concluded.
struct Later {
    /// What the actions are recorded with.
    hit: Box<Hit<'static>>,
    /// Types of actions that the shop itself told of.
    told: Vec<String>,
    /// Why nothing is recorded of the request, unless there are actions.
    ignored: Option<Ignored>,
}

impl Recorder {
    /// Must be called on the worker's own thread, within its runtime.
    pub fn start(
        recording: &Recording,
        tracking: &config::Tracking,
        rules: &Arc<Rules>,
        actions: &Arc<ActionRules>,
        metrics: &Arc<Metrics>,
    ) -> Rc<Self> {
        Rc::new(Self {
            hand: Hand::start(recording.batches.clone(), recording.wait, Arc::clone(metrics)),
            rules: Arc::clone(rules),
            actions: Arc::clone(actions),
            keys: Arc::clone(&recording.keys),
            customers: recording.customers.clone(),
            salts: recording.salts.clone(),
            forgotten: recording.forgotten.clone(),
            exclusions: recording.exclusions.clone(),
            assets: recording.assets.clone(),
            clock: recording.clock.clone(),
            inspection: recording.inspection.clone(),
            mode: tracking.mode,
            tells_upstream: tracking.mode == TrackingMode::Record && tracking.upstream_headers,
            restores: tracking.restore_on_redirect,
            page_views: metrics.page_views.clone(),
            ignored: Ignored::ALL.map(|ignored| {
                metrics.hits_ignored.get_or_create_owned(&Reason { reason: ignored.reason() })
            }),
            copies: Copies::default(),
            bodies_unread: Lack::ALL
                .map(|lack| metrics.bodies_unread.get_or_create_owned(&Reason { reason: lack.reason() })),
        })
    }

    /// One that goes by what was reloaded, with the same way to the journal.
    pub fn next(
        &self,
        tracking: &config::Tracking,
        rules: &Arc<Rules>,
        actions: &Arc<ActionRules>,
    ) -> Rc<Self> {
        Rc::new(Self {
            rules: Arc::clone(rules),
            actions: Arc::clone(actions),
            mode: tracking.mode,
            tells_upstream: tracking.mode == TrackingMode::Record && tracking.upstream_headers,
            restores: tracking.restore_on_redirect,
            ..self.clone()
        })
    }

    /// Looks at a request's head, as the client sent it.
    pub fn watch(self: &Rc<Self>, head: &Parts, route: &Route, client: Client) -> Watch {
        let is_tracked = self.mode != TrackingMode::Off && route.tracking;
        let observation = if is_tracked {
            let arrival = Arrival { at_ms: self.clock.now_ms(), client: client.address, https: client.https };
            let mut observation =
                Observation::of(&head.method, &head.uri, &head.headers, arrival, &self.rules);
            match &mut observation {
                Some(observation) => {
                    observation.exclude(&self.exclusions.now(), &self.rules);
                    observation.note_assets(self.assets.are_fetched_by(client.address, arrival.at_ms));
                }
                None => {
                    self.assets.note(client.address, arrival.at_ms);
                    self.count_ignored(Ignored::Asset);
                }
            }
            observation
        } else {
            None
        };
        let asked = observation
            .as_ref()
            .filter(|observation| !observation.is_prefetch())
            .and_then(|_| self.actions.find(&route.site, &head.method, &head.uri, &head.headers));
        let request = asked.as_ref().filter(|asked| self.actions.reads_request(asked)).map(|_| {
            let wanted = Wanted { text: true, parts: &[], limit: self.actions.body_bytes() };
            Rc::new(RefCell::new(BodyReader::new(&head.headers, wanted, &self.copies)))
        });
        Watch {
            recorder: Rc::clone(self),
            asked,
            request,
            observation,
            site: Arc::clone(&route.site),
            trust_events: route.trust_events,
            note: (is_tracked && self.inspection.is_on())
                .then(|| Box::new(self.note(head, route, client.address))),
        }
    }

    fn note(&self, head: &Parts, route: &Route, client: IpAddr) -> Note {
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        Note {
            number: 0,
            at_ms: self.clock.now_ms(),
            site: Arc::clone(&route.site),
            client,
            method: head.method.clone(),
            host: capped(&host::host_of(host)),
            path: capped(&mask::path(head.uri.path())),
            target: capped(&self.rules.shown(&head.uri)),
            forwarded: None,
            status: CLIENT_CLOSED_REQUEST,
            verdict: Verdict::NotRecorded(Some(Ignored::Asset)),
            reasons: Reasons::default(),
            exclusion: None,
            identity: None,
            touch: None,
            actions: Vec::new(),
            journal: Journal::Nothing,
        }
    }

    /// Takes our cookie out of the fields, which no shop ever sees, and where it is tracked the tracking parameters off
    /// the target; answers the target as it was, when it was changed.
    pub fn strip(&self, head: &mut Parts, route: &Route) -> Option<Uri> {
        self.rules.cookie_name().hide(&mut head.headers);
        if self.mode != TrackingMode::Record || !route.tracking {
            return None;
        }
        if matches!(head.method, Method::GET | Method::HEAD)
            && let Some(target) =
                head.uri.path_and_query().and_then(|target| strip(target.as_str().as_bytes(), &route.strip))
            && let Ok(target) = PathAndQuery::from_maybe_shared(bytes::Bytes::from(target))
        {
            return Some(std::mem::replace(&mut head.uri, Uri::from(target)));
        }
        None
    }

    /// Gives the parameters that were taken off `target` to a redirect within the shop, which no cache may keep then.
    /// `host` is the one that was asked, `serves` says which others this proxy stands before.
    pub fn restore<B>(
        &self,
        target: &Uri,
        route: &Route,
        host: &str,
        serves: impl Fn(&str) -> bool,
        response: &mut Response<B>,
    ) {
        if !self.restores || !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return;
        }
        let Some(location) = response.headers().get(header::LOCATION) else { return };
        let is_ours = match Destination::of(location.as_bytes()) {
            Destination::SameHost => true,
            Destination::Host(other) => other == host || (host::same_owner(&other, host) && serves(&other)),
            Destination::Elsewhere => false,
        };
        let query = target.query().unwrap_or_default().as_bytes();
        let restored = is_ours.then(|| restored(location.as_bytes(), query, &route.strip)).flatten();
        let Some(restored) =
            restored.and_then(|restored| HeaderValue::from_maybe_shared(bytes::Bytes::from(restored)).ok())
        else {
            return;
        };
        let headers = response.headers_mut();
        headers.insert(header::LOCATION, restored);
        let caching = headers.get_all(header::CACHE_CONTROL).iter().map(HeaderValue::as_bytes);
        if let Ok(caching) = HeaderValue::from_maybe_shared(bytes::Bytes::from(made_private(caching))) {
            headers.insert(header::CACHE_CONTROL, caching);
        }
        // What only caches in front of us read (RFC 9213) would speak against it.
        FOR_CACHES_ONLY.into_iter().for_each(|name| drop(headers.remove(name)));
    }

    fn count_ignored(&self, reason: Ignored) {
        self.ignored[reason as usize].inc();
    }

    /// Counts a body that could not be read whole; its text is that of the reader.
    fn count_unread(&self, reader: Option<&BodyReader>, text: Option<&BodyText<'_>>) {
        let is_json = || text.is_none_or(BodyText::is_json);
        if let Some(lack) = reader.and_then(|reader| reader.lack_of_json(is_json)) {
            self.bodies_unread[lack as usize].inc();
        }
    }

    fn hash(&self) -> impl Fn(CustomerKeyKind, &str, &str) -> Option<[u8; 16]> {
        |kind, site, value| self.customers.hash(kind, site, value)
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
        let salt = self.recorder.salts.of(observation.at_ms());
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
            // Where only what was consented to is kept, a click id has a name and no value.
            value.filter(|value| !value.is_empty()).into_iter().for_each(|value| tell(name, value));
        }
    }

    /// Notes what the shop gets, while somebody looks.
    pub fn note_forwarded(&mut self, target: &Uri) {
        if let Some(note) = &mut self.note {
            let forwarded = capped(&self.recorder.rules.shown(target));
            note.forwarded = (forwarded != note.target).then_some(forwarded);
        }
    }

    /// Reads a copy of the request's body, where a rule asks for it.
    pub fn reader(&self) -> Option<&SharedReader> {
        self.request.as_ref()
    }

    /// Records the exchange and sets the cookie; returns when the response may go out. What is left for its body is done
    /// by the value that is answered.
    pub async fn conclude<B: Body>(mut self, response: &mut Response<B>) -> Option<Box<Late>> {
        // The client may go away meanwhile, which is recorded too: only then is the observation taken.
        let fired = match self.asked.is_some() {
            // In a place of its own: most requests do not carry what it needs.
            true => Box::pin(self.fired(response)).await,
            false => Fired::default(),
        };
        let Some(observation) = self.observation.take() else {
            response.headers_mut().remove(X_UTM_EVENT);
            self.tell(response.status(), None);
            return None;
        };
        let (set_cookie, ticket, later) =
            self.record(&observation, response.status(), response.headers(), fired);
        response.headers_mut().remove(X_UTM_EVENT);
        let late = later.and_then(|later| self.late(later, observation, response));
        if let Some(line) = set_cookie {
            response.headers_mut().append(header::SET_COOKIE, line);
        }
        let mut outcome = None;
        if let Some(ticket) = ticket {
            let is_written = self.recorder.hand.written(ticket).await;
            outcome = Some(if is_written { Journal::Written } else { Journal::Ahead });
        }
        let Some(mut late) = late else {
            self.tell(response.status(), outcome);
            return None;
        };
        late.note = self.note.take();
        if let Some(note) = &mut late.note {
            note.status = response.status().as_u16();
            note.journal = outcome.unwrap_or(note.journal);
        }
        Some(late)
    }

    /// What action rules say as far as the response's body is not needed.
    async fn fired<B: Body>(&mut self, response: &Response<B>) -> Fired {
        let recorder = Rc::clone(&self.recorder);
        let Some(asked) = &mut self.asked else { return Fired::default() };
        let webhook = recorder.actions.is_webhook(asked);
        let answered = recorder.actions.answered(response.status(), response.headers());
        let awaits_body = recorder.actions.narrow(asked, &answered) && !response.body().is_end_stream();
        if let Some(reader) = &self.request {
            while reader.borrow_mut().step() {
                tokio::task::yield_now().await;
            }
        }
        let reader = self.request.as_ref().map(|reader| reader.borrow());
        let text = reader
            .as_ref()
            .map(|reader| BodyText::new(reader.text().unwrap_or_default(), reader.lack().is_none()));
        if !awaits_body {
            recorder.count_unread(reader.as_deref(), text.as_ref());
        }
        let bodies = Bodies { request: text.as_ref(), ..Bodies::default() };
        let stage = if awaits_body { Stage::Head } else { Stage::All };
        let outcomes = recorder.actions.actions(asked, &answered, bodies, stage, &recorder.hash());
        Fired {
            actions: outcomes.into_iter().filter_map(|(_, outcome)| outcome.ok()).collect(),
            page_view: recorder.actions.is_page_view(asked, &answered),
            awaits_body,
            webhook,
        }
    }

    fn late<B>(
        &mut self,
        later: Later,
        observation: Box<Observation>,
        response: &Response<B>,
    ) -> Option<Box<Late>> {
        let asked = self.asked.take()?;
        let Later { hit, told, ignored } = later;
        let (text, parts) = self.recorder.actions.wanted(&asked);
        let wanted = Wanted { text, parts: &parts, limit: self.recorder.actions.body_bytes() };
        let reader = BodyReader::new(response.headers(), wanted, &self.recorder.copies);
        Some(Box::new(Late {
            recorder: Rc::clone(&self.recorder),
            observation,
            hit: Some(hit),
            ignored,
            status: response.status(),
            headers: response.headers().clone(),
            request: self.request.take(),
            response: reader,
            told,
            note: None,
            waits: None,
            held: None,
            asked,
        }))
    }

    fn record(
        &mut self,
        observation: &Observation,
        status: StatusCode,
        headers: &HeaderMap,
        fired: Fired,
    ) -> (Option<HeaderValue>, Option<Ticket>, Option<Later>) {
        let recorder = &*self.recorder;
        let salt = recorder.salts.of(observation.at_ms());
        let forgotten = recorder.forgotten.now();
        let secrets = Secrets { keys: &recorder.keys, salt: &salt, forgotten: &forgotten };
        let mut conclusion = observation.conclude(
            &self.site,
            ResponseHead { status, headers, trust_events: self.trust_events },
            fired,
            secrets,
            &recorder.rules,
            Uuid::now_v7,
        );
        let told = told_kinds(conclusion.record.as_ref());
        let exclusions = recorder.exclusions.now();
        let excluding = conclusion.visitor().and_then(|visitor_id| exclusions.find_visitor(visitor_id));
        if let Some(rule) = excluding {
            rule.count();
            conclusion.leave_out(rule.kind());
        }
        if let Some(note) = &mut self.note {
            note_conclusion(note, &conclusion);
            note.exclusion = observation.exclusion().or(excluding.map(|rule| rule.value())).map(capped);
        }
        let Conclusion { record, set_cookie, page_view, mut ignored, later, .. } = conclusion;
        if page_view {
            recorder.page_views.inc();
        }
        let later = later.map(|hit| Later { hit, told, ignored: ignored.take() });
        if let Some(reason) = ignored {
            recorder.count_ignored(reason);
        }
        let ticket = record.and_then(|record| recorder.hand.push(&record));
        (set_cookie, ticket, later)
    }

    /// Tells of it, while somebody looks.
    fn tell(&mut self, status: StatusCode, outcome: Option<Journal>) {
        if let Some(mut note) = self.note.take() {
            note.status = status.as_u16();
            note.journal = outcome.unwrap_or(note.journal);
            self.recorder.inspection.tell(note);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Ok(status) = StatusCode::from_u16(CLIENT_CLOSED_REQUEST) {
            let mut outcome = None;
            if let Some(observation) = self.observation.take() {
                let webhook =
                    self.asked.as_ref().is_some_and(|asked| self.recorder.actions.is_webhook(asked));
                let fired = Fired { webhook, ..Fired::default() };
                let (_, ticket, _) = self.record(&observation, status, &HeaderMap::new(), fired);
                outcome = ticket.map(|_| Journal::Ahead);
            }
            self.tell(status, outcome);
        }
    }
}

/// Types of actions that the shop itself told of.
fn told_kinds(record: Option<&Record<'_>>) -> Vec<String> {
    let Some(Record::Hit(hit)) = record else { return Vec::new() };
    let told = hit.actions.iter().filter(|action: &&Action<'_>| action.way == Way::Header);
    told.map(|action| action.kind.to_string()).collect()
}

/// What a conclusion says, without the values of click ids.
fn note_conclusion(note: &mut Note, conclusion: &Conclusion<'_>) {
    note.reasons = conclusion.reasons;
    note.verdict = match &conclusion.record {
        Some(Record::Hit(_)) if conclusion.page_view => Verdict::PageView,
        Some(Record::BotCount(_)) => Verdict::Counted,
        Some(_) => Verdict::Recorded,
        None => Verdict::NotRecorded(conclusion.ignored),
    };
    if conclusion.record.is_some() {
        // Until the journal answers.
        note.journal = Journal::Dropped;
    }
    if let Some(Record::Hit(hit)) = &conclusion.record {
        note.identity = hit.identity;
        note.actions = hit.actions.iter().take(MOST_ACTIONS).map(|action| action.kind.to_string()).collect();
        let own = |text: &Option<Cow<'_, str>>| text.as_deref().map(|text| Cow::Owned(capped(text)));
        note.touch = hit.touch.as_ref().map(|touch| Touch {
            evidence: touch.evidence,
            source: own(&touch.source),
            medium: own(&touch.medium),
            campaign: own(&touch.campaign),
            content: own(&touch.content),
            term: own(&touch.term),
            id: own(&touch.id),
            parameters: Vec::new(),
            click_ids: touch
                .click_ids
                .iter()
                .map(|(name, _)| (Cow::Owned(name.to_string()), Cow::Borrowed("")))
                .collect(),
            referrer: own(&touch.referrer),
            flags: touch.flags,
        });
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
