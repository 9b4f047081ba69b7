//! Rows of `told_actions`, and of `events` with them: what the shop said by the API that somebody did.

use jiff::Timestamp;
use uuid::Uuid;

use super::events::Event;
use super::identifications::Identifications;
use super::{Enricher, FoldError, Folding, Rows, kind_id, time};
use crate::hit::{Action, ActionFact, Hit, Way};

/// Key of `told_actions`: site, type and reference.
pub(in crate::ship) type ToldKey = (i32, i32, String);

/// A row of `told_actions`; its columns there. What came first stands.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Told {
    pub content: i64,
    pub session_id: Option<Uuid>,
    pub visitor_id: Option<Uuid>,
    pub order_id: Option<String>,
    /// What it becomes when it is new.
    pub event: Event,
    /// Who it says that somebody is.
    pub identifications: Identifications,
}

/// An action told whose sender waits to hear what became of it.
#[derive(Debug, Clone)]
pub struct ToldReport {
    /// Request and position in it.
    pub receipt: (Uuid, u32),
    /// The row it would be.
    pub key: ToldKey,
    /// What it says; none when retention has passed its time.
    pub content: Option<i64>,
}

impl Rows {
    pub(super) fn add_told(
        &mut self,
        fact: &ActionFact,
        hash: i64,
        enricher: &Enricher,
    ) -> Result<(), FoldError> {
        let at = time(fact.at_ms)?;
        self.newest_ms = self.newest_ms.max(fact.received_ms);
        let site_id = self.dictionaries.site(&fact.site, enricher);
        let key = (site_id, kind_id(&fact.kind), fact.reference.clone());
        let is_kept = self.takes_facts_of(at);
        if let Some(receipt) = fact.receipt {
            let content = is_kept.then_some(fact.content);
            self.told_receipts.push(ToldReport { receipt, key: key.clone(), content });
        }
        if is_kept && !self.told.contains_key(&key) {
            let event = self.event_of(fact, at, hash, site_id, enricher);
            let (session_id, content) = (fact.session_id, fact.content);
            let visitor_id = fact.visitor_id.filter(|_| session_id.is_none());
            let order_id = fact.order_id.clone().filter(|_| session_id.is_none());
            let identifications = self.identifications_of(fact, site_id, at);
            self.told.insert(key, Told { content, session_id, visitor_id, order_id, event, identifications });
        }
        Ok(())
    }

    /// Of one that names a session the visitor is written to it when that is known.
    fn event_of(
        &mut self,
        fact: &ActionFact,
        at: Timestamp,
        hash: i64,
        site_id: i32,
        enricher: &Enricher,
    ) -> Event {
        let text = |text: &Option<String>| text.clone().map(Into::into);
        let pairs = fact.properties.iter().map(|(name, value)| (name.clone().into(), value.clone().into()));
        let action = Action {
            product_id: text(&fact.product_id),
            product_name: text(&fact.product_name),
            value: fact.value,
            currency: text(&fact.currency),
            order_id: text(&fact.order_id),
            order_number: text(&fact.order_number),
            properties: pairs.collect(),
            ..Action::new(fact.kind.clone(), Way::Api)
        };
        let (host, path) = fact.page.clone().unwrap_or_default();
        let hit =
            Hit { site: fact.site.as_str().into(), host: host.into(), path: path.into(), ..Hit::default() };
        let page_id = fact.page.is_some().then(|| self.dictionaries.page(site_id, &hit, enricher));
        let folding = Folding { hit: &hit, at, hash, site_id, page_id: 0, points: &enricher.points };
        self.dictionaries.action_kind(&fact.kind, enricher);
        let product_key = self.dictionaries.product(&folding, &action, enricher);
        Event {
            session_id: fact.session_id,
            visitor_id: fact.visitor_id.filter(|_| fact.session_id.is_none()),
            page_id,
            product_key,
            ..Event::of_action(None, &folding, &action)
        }
    }
}
