//! Rows of `sessions` and of what hangs on them: `touches`, `session_cookies`.

use jiff::Timestamp;

use super::visitors::earliest;
use super::{Enricher, Folding, Rows, SessionKey, json_object};
use crate::hit::{Identity, Touch};
use crate::ship::enrich::address;

/// A row of `sessions`; its columns there.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Session {
    pub started_at: Timestamp,
    pub last_seen: Timestamp,
    /// The least time of the batch's hits: orders placed before it are not concerned.
    pub least_at: Timestamp,
    pub entry: Entry,
    pub touch: Option<FirstTouch>,
    pub funnel: Funnel,
    pub session_number: i32,
    pub page_views: i32,
    pub actions: i32,
    pub score: i32,
    pub bot_reasons: i32,
    pub identity: i16,
    pub bot_score: i16,
    pub bot_rules: i16,
    pub fetched_assets: bool,
}

/// The hit a session began with: the first page view, else the first hit. Ordered by its first three fields.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Entry {
    pub rank: i16,
    pub at: Timestamp,
    pub hash: i64,
    pub landing_page_id: i64,
    pub agent_id: i64,
    pub place_id: Option<i64>,
    pub site_id: i32,
    pub address: Option<String>,
}

/// A touch, as rows name the one that they are credited to: of a session the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct FirstTouch {
    pub at: Timestamp,
    pub evidence: i64,
    pub campaign_id: i64,
    pub referrer_id: Option<i64>,
}

/// Times of the first action of each step.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Funnel {
    pub product_view_at: Option<Timestamp>,
    pub add_to_cart_at: Option<Timestamp>,
    pub initiate_checkout_at: Option<Timestamp>,
    pub lead_at: Option<Timestamp>,
    pub purchase_at: Option<Timestamp>,
    pub registration_at: Option<Timestamp>,
}

/// A row of `session_cookies`; the greatest wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cookie {
    /// When it was seen.
    pub at: Timestamp,
    /// Its value.
    pub value: String,
}

/// A row of `touches`; its columns there. The least by (at, hash) wins.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Touched {
    pub at: Timestamp,
    pub hash: i64,
    pub campaign_id: i64,
    pub referrer_id: Option<i64>,
    pub page_id: i64,
    pub site_id: i32,
    pub flags: i32,
    pub status: i16,
    pub click_ids: Option<String>,
}

impl Rows {
    pub(super) fn add_touch(
        &mut self,
        key: SessionKey,
        touch: &Touch<'_>,
        folding: &Folding<'_>,
        enricher: &Enricher,
    ) -> FirstTouch {
        let campaign_id = self.dictionaries.campaign(folding.site_id, &folding.hit.site, touch, enricher);
        let referrer_id = self.dictionaries.referrer(folding.site_id, &folding.hit.site, touch, enricher);
        let stands = self
            .touches
            .get(&(key, touch.evidence))
            .is_some_and(|row| (row.at, row.hash) <= (folding.at, folding.hash));
        if !stands {
            let row = Touched {
                at: folding.at,
                hash: folding.hash,
                campaign_id,
                referrer_id,
                page_id: folding.page_id,
                site_id: folding.site_id,
                flags: touch.flags.cast_signed(),
                status: status(folding.hit.status),
                // One whose value was not to be kept is a name alone.
                click_ids: json_object(&touch.click_ids).filter(|_| !folding.is_anonymous()),
            };
            self.touches.insert((key, touch.evidence), row);
        }
        FirstTouch { at: folding.at, evidence: touch.evidence, campaign_id, referrer_id }
    }

    pub(super) fn add_session(
        &mut self,
        key: SessionKey,
        identity: &Identity,
        touch: Option<FirstTouch>,
        folding: &Folding<'_>,
        enricher: &Enricher,
    ) {
        let (hit, at) = (folding.hit, folding.at);
        let rank = i16::from(!hit.page_view);
        // Dictionaries hold what any hit names, not only the one that the session begins with: else their rows would
        // tell the order of arrival.
        let agent_id = self.dictionaries.agent(&hit.user_agent, &hit.client_hints, enricher);
        let place_id = self.dictionaries.place(hit, enricher);
        let known = self.sessions.get(&key).map(|row| (row.entry.rank, row.entry.at, row.entry.hash));
        let entry = known
            .is_none_or(|entry| (rank, at, folding.hash) < entry)
            .then(|| Entry::of(rank, folding, agent_id, place_id, enricher));
        let row = match (self.sessions.get_mut(&key), entry) {
            (Some(row), None) => row,
            (Some(row), Some(entry)) => {
                row.entry = entry;
                row
            }
            (None, Some(entry)) => self.sessions.entry(key).or_insert(Session::new(key, identity, at, entry)),
            (None, None) => return,
        };
        row.least_at = row.least_at.min(at);
        row.started_at = key.session_hour.max(row.least_at);
        row.last_seen = row.last_seen.max(at);
        row.touch = [row.touch, touch].into_iter().flatten().min();
        row.session_number = row.session_number.min(i32::from(identity.session_number));
        row.identity = row.identity.min(identity.mode.code());
        row.bot_score = row.bot_score.max(i16::from(hit.bot_score));
        row.bot_reasons |= hit.bot_reasons.cast_signed();
        row.bot_rules = row.bot_rules.max(i16::from(hit.bot_rules));
        row.fetched_assets |= hit.fetched_assets && hit.page_view;
        row.add_actions(folding);
    }

    pub(super) fn add_cookies(&mut self, key: SessionKey, folding: &Folding<'_>) {
        for (name, value) in &folding.hit.cookies {
            let seen = Cookie { at: folding.at, value: value.clone().into_owned() };
            let row = self.cookies.entry((key, name.clone().into_owned())).or_insert_with(|| seen.clone());
            if seen > *row {
                *row = seen;
            }
        }
    }
}

impl Entry {
    fn of(
        rank: i16,
        folding: &Folding<'_>,
        agent_id: i64,
        place_id: Option<i64>,
        enricher: &Enricher,
    ) -> Self {
        let address = folding.hit.client_address.filter(|_| !folding.is_anonymous());
        Entry {
            rank,
            at: folding.at,
            hash: folding.hash,
            landing_page_id: folding.page_id,
            agent_id,
            place_id,
            site_id: folding.site_id,
            address: address.and_then(|address| address::stored(address, enricher.store_ip)),
        }
    }
}

impl Session {
    fn new(key: SessionKey, identity: &Identity, at: Timestamp, entry: Entry) -> Self {
        Session {
            started_at: key.session_hour.max(at),
            last_seen: at,
            least_at: at,
            entry,
            touch: None,
            funnel: Funnel::default(),
            session_number: i32::from(identity.session_number),
            page_views: 0,
            actions: 0,
            score: 0,
            bot_reasons: 0,
            identity: identity.mode.code(),
            bot_score: 0,
            bot_rules: 0,
            fetched_assets: false,
        }
    }

    /// Product views earn their points when their row is known to be new.
    fn add_actions(&mut self, folding: &Folding<'_>) {
        if folding.hit.page_view {
            self.page_views += 1;
            self.score += i32::from(folding.points.of_action("page_view", None, false));
        }
        for action in &folding.hit.actions {
            if let Some(first) = self.funnel.step(&action.kind) {
                *first = earliest(*first, folding.at);
            }
            if action.kind != "product_view" {
                self.actions += 1;
                let names_order = action.order_id.is_some();
                self.score += i32::from(folding.points.of_action(&action.kind, action.value, names_order));
            } else if action.product_id.is_none() {
                self.score += i32::from(folding.points.of_action("product_view", None, false));
            }
        }
    }
}

impl Funnel {
    fn step(&mut self, kind: &str) -> Option<&mut Option<Timestamp>> {
        Some(match kind {
            "product_view" => &mut self.product_view_at,
            "add_to_cart" => &mut self.add_to_cart_at,
            "initiate_checkout" => &mut self.initiate_checkout_at,
            "lead" => &mut self.lead_at,
            "purchase" => &mut self.purchase_at,
            "registration" => &mut self.registration_at,
            _ => return None,
        })
    }
}

/// HTTP has three digits.
pub(super) fn status(status: u16) -> i16 {
    i16::try_from(status).unwrap_or(i16::MAX)
}
