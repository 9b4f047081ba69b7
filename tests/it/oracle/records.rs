//! The week as proxies and the API write it into journals.

use std::net::IpAddr;

use rust_decimal::Decimal;
use utm_dispatcher::hit::{
    Action, BotCount, CustomerKeyKind, Hit, Identity, IdentityMode, OrderFact, Record, Touch, Way,
};
use uuid::Uuid;

use super::tags::{AGENTS, CLICK, PLACES, TAGS};
use super::world::{Entry, MINUTE, Order, Step, Stretch, Visit, World};

impl World {
    /// Everything as proxies write it down.
    pub fn records(&self) -> Vec<Record<'static>> {
        let mut records = Vec::new();
        for (place, visit) in self.visits.iter().enumerate() {
            for stretch in visit.before.iter().chain([&visit.own]) {
                let is_own = stretch.session == visit.own.session;
                records
                    .extend(stretch.steps.iter().map(|step| self.hit(visit, place, stretch, is_own, step)));
            }
        }
        for order in &self.orders {
            for entry in order.entries.iter().filter(|entry| entry.way == Way::Api) {
                records.push(Record::Order(Box::new(fact(order, entry))));
                // Somebody sends it twice.
                if entry.at.is_multiple_of(5) {
                    let again = OrderFact { received_ms: entry.at + 9 * MINUTE, ..fact(order, entry) };
                    records.push(Record::Order(Box::new(again)));
                }
            }
        }
        records.extend(self.crawls.iter().map(|(at, bot)| {
            let site = "default".into();
            Record::BotCount(BotCount { at_ms: *at, site, bot: (*bot).into(), reasons: 1, rules: 2 })
        }));
        records.extend(self.denials.iter().map(|(at, landing, tag)| {
            let hit = Hit {
                denied: true,
                landing: *landing,
                touch: tag.map(|tag| touch(tag, Uuid::nil())),
                ..page(*at, "default", "/")
            };
            Record::Hit(Box::new(hit))
        }));
        records
    }

    fn hit(
        &self,
        visit: &Visit,
        place: usize,
        stretch: &Stretch,
        is_own: bool,
        step: &Step,
    ) -> Record<'static> {
        let mode = if is_own && !visit.cookieless { IdentityMode::Cookie } else { IdentityMode::Cookieless };
        // Said by the hit on which the cookie was made.
        let is_first = is_own && visit.number == 1 && stretch.steps[0].at == step.at && !visit.cookieless;
        let minted_from = is_first.then(|| {
            visit
                .before
                .as_ref()
                .map_or_else(|| Uuid::from_u128(stretch.visitor.as_u128() ^ 1), |before| before.visitor)
        });
        let mut actions: Vec<Action<'static>> =
            step.actions.iter().map(|(name, product)| action(name, *product)).collect();
        if let Some(action) = actions.first_mut().filter(|_| mode == IdentityMode::Cookie) {
            action.customer = customer(step.phone);
        }
        if let Some(index) = step.order {
            let order = &self.orders[index];
            actions.push(Action {
                way: Way::Header,
                order_id: Some(order.id.clone().into()),
                value: order.entries[0].value.map(money),
                currency: order.entries[0].currency.map(Into::into),
                ..Action::new("purchase", Way::Header)
            });
        }
        let address: IpAddr = format!("{}{}", PLACES[visit.place].0, place % 250).parse().unwrap();
        Record::Hit(Box::new(Hit {
            page_view: step.page_view,
            identity: Some(Identity {
                mode,
                visitor_id: stretch.visitor,
                session_id: stretch.session,
                session_number: if is_own { visit.number } else { 1 },
                minted_from,
            }),
            touch: step.tag.map(|tag| touch(tag, stretch.session)),
            client_address: Some(address),
            user_agent: AGENTS[visit.agent].0.into(),
            actions,
            bot_score: visit.bot_score,
            fetched_assets: true,
            ..page(step.at, visit.site, step.path)
        }))
    }
}

fn page(at_ms: u64, site: &'static str, path: &'static str) -> Hit<'static> {
    let host = if site == "second" { "second.example" } else { "shop.example" };
    Hit {
        at_ms,
        site: site.into(),
        host: host.into(),
        path: path.into(),
        status: 200,
        page_view: true,
        ..Hit::default()
    }
}

/// A click id of its own for each session.
fn click(value: &str, session: Uuid) -> String {
    format!("{value}{}", session.simple())
}

fn touch(index: usize, session: Uuid) -> Touch<'static> {
    let tag = &TAGS[index];
    let [source, medium, campaign, content, term] = tag.given.map(|text| text.map(Into::into));
    Touch {
        evidence: i64::try_from(index + 1).unwrap(),
        source,
        medium,
        campaign,
        content,
        term,
        click_ids: tag
            .click
            .iter()
            .map(|(name, value)| ((*name).into(), click(value, session).into()))
            .collect(),
        referrer: tag.referrer.map(|(url, _)| url.into()),
        ..Touch::default()
    }
}

fn action(name: &'static str, product: Option<usize>) -> Action<'static> {
    Action {
        product_id: product.map(|number| format!("p{number}").into()),
        value: (name == "lead").then(|| money(25_000)),
        ..Action::new(name, Way::Rule)
    }
}

fn fact(order: &Order, entry: &Entry) -> OrderFact {
    let items: Vec<_> = entry
        .items
        .iter()
        .map(|(product, quantity, cents)| {
            serde_json::json!({"product_id": format!("p{product}"), "quantity": quantity.to_string(),
                               "price": money(*cents).to_string()})
        })
        .collect();
    OrderFact {
        site: order.site.into(),
        order_id: order.id.clone(),
        kind: entry.kind,
        reference: entry.reference.into(),
        way: entry.way,
        at_ms: entry.at,
        value: entry.value.map(money),
        currency: entry.currency.map(Into::into),
        order_number: None,
        session_id: entry.session,
        visitor_id: entry.visitor,
        click_ids: entry
            .click
            .iter()
            .flat_map(|session| TAGS[CLICK].click.map(|(name, value)| (name.into(), click(value, *session))))
            .collect(),
        customer: customer(entry.phone),
        items: (!items.is_empty()).then(|| serde_json::Value::from(items).to_string()),
        properties: None,
        received_ms: entry.at + MINUTE,
        receipt: None,
    }
}

fn customer(phone: Option<u8>) -> Vec<(CustomerKeyKind, [u8; 16])> {
    phone.map(|phone| (CustomerKeyKind::Phone, [phone; 16])).into_iter().collect()
}

fn money(cents: i64) -> Decimal {
    Decimal::new(cents, 2)
}
