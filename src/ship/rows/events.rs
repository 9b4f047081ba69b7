//! Rows of `events` and `product_views`.

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::sessions::status;
use super::{Enricher, Folding, Rows, SessionKey, json_object, kind_id};
use crate::hit::{Action, findings};

/// Length of the slot in which a product view counts once.
const SLOT_SECONDS: i64 = 1800;

/// A row of `events`; its columns there.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Event {
    pub session_id: Option<Uuid>,
    pub visitor_id: Option<Uuid>,
    pub at: Timestamp,
    pub page_id: Option<i64>,
    pub product_key: Option<i64>,
    pub site_id: i32,
    pub kind_id: i32,
    pub points: i16,
    pub status: i16,
    pub value: Option<Decimal>,
    pub currency: Option<String>,
    pub order_id: Option<String>,
    pub properties: Option<String>,
}

/// A row of `product_views` with the event it becomes when it is new. The least by (hit.at, hash) wins.
#[derive(Debug, Clone)]
pub struct ProductView {
    /// Of the record.
    pub hash: i64,
    /// The event.
    pub hit: Event,
}

impl Rows {
    pub(super) fn add_events(&mut self, key: Option<SessionKey>, folding: &Folding<'_>, enricher: &Enricher) {
        if folding.hit.page_view {
            self.dictionaries.action_kind("page_view", enricher);
            let why = folding.hit.findings;
            let properties = findings::word(why).and_then(|word| json_object(&[("no_touch", word)]));
            self.events.push(Event { properties, ..Event::of_page_view(key, folding) });
        }
        for action in &folding.hit.actions {
            self.dictionaries.action_kind(&action.kind, enricher);
            let product_key = self.dictionaries.product(folding, action, enricher);
            let event = Event { product_key, ..Event::of_action(key, folding, action) };
            match (key, product_key) {
                (Some(key), Some(product)) if action.kind == "product_view" => {
                    self.add_product_view(key, product, event, folding.hash);
                }
                _ => self.events.push(event),
            }
        }
    }

    fn add_product_view(&mut self, key: SessionKey, product: i64, event: Event, hash: i64) {
        let seconds = event.at.duration_since(key.session_hour).as_secs();
        let slot = i32::try_from(seconds.div_euclid(SLOT_SECONDS)).unwrap_or(i32::MAX);
        let view = ProductView { hash, hit: event };
        self.merge_product_view((key, product, slot), view);
    }

    pub(super) fn merge_product_view(&mut self, key: (SessionKey, i64, i32), view: ProductView) {
        let row = self.product_views.entry(key).or_insert_with(|| view.clone());
        if (view.hit.at, view.hash) < (row.hit.at, row.hash) {
            *row = view;
        }
    }
}

impl Event {
    fn of_page_view(key: Option<SessionKey>, folding: &Folding<'_>) -> Event {
        Event {
            session_id: key.map(|key| key.session_id),
            visitor_id: key.map(|key| key.visitor_id),
            at: folding.at,
            page_id: Some(folding.page_id),
            product_key: None,
            site_id: folding.site_id,
            kind_id: kind_id("page_view"),
            points: folding.points.of_action("page_view", None, false),
            status: status(folding.hit.status),
            value: None,
            currency: None,
            order_id: None,
            properties: None,
        }
    }

    pub(super) fn of_action(key: Option<SessionKey>, folding: &Folding<'_>, action: &Action<'_>) -> Event {
        Event {
            kind_id: kind_id(&action.kind),
            points: folding.points.of_action(&action.kind, action.value, action.order_id.is_some()),
            value: action.value,
            currency: action.currency.as_deref().map(str::to_owned),
            order_id: action.order_id.as_deref().map(str::to_owned),
            properties: properties(action).filter(|_| !folding.is_anonymous()),
            ..Event::of_page_view(key, folding)
        }
    }
}

/// The properties, with what has no column: the order's number, and the name of a product that has no id.
fn properties(action: &Action<'_>) -> Option<String> {
    let nameless = action.product_name.as_deref().filter(|_| action.product_id.is_none());
    let own = [("order_number", action.order_number.as_deref()), ("product_name", nameless)];
    let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let pairs: Vec<(&str, &str)> =
        action.properties.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).chain(own).collect();
    json_object(&pairs)
}
