//! What the week amounts to, worked out from what happened, the plain way: lists are gone through from one end to the other.
//! Nothing here knows the program or its statements; amounts are cents, parts of orders millionths.

use std::collections::{BTreeMap, BTreeSet};

use utm_dispatcher::hit::{OrderEntryKind, Way};
use uuid::Uuid;

use super::rates::Exchange;
use super::tags::{AGENTS, CLICK, PLACES, TAGS};
use super::world::{DAY, Entry, HOUR, LOOKBACK, MINUTE, Order, Visit, World};

/// Source, medium, campaign, content, term, channel.
pub type Label = [&'static str; 6];

pub const DIRECT: Label = ["(direct)", "(none)", "(none)", "(none)", "(none)", "Direct"];
pub const NOT_TRACKED: Label = ["(not tracked)", "(none)", "(none)", "(none)", "(none)", "(not tracked)"];
pub const MODELS: [&str; 7] =
    ["last_non_direct", "first", "last", "last_paid", "linear", "position", "time_decay"];

/// A visit, as reports count it: with its cookieless beginning.
pub struct Seen {
    pub visit: Visit,
    /// When its visitor was known.
    pub started: u64,
    pub began: u64,
    pub ended: u64,
    pub page_views: i64,
    pub actions: i64,
    pub points: i64,
    pub orders: i64,
    pub bot: bool,
    pub excluded: bool,
    pub label: Label,
    pub agent: [&'static str; 7],
    /// Country, its name, region, city.
    pub place: [&'static str; 4],
    pub referrer: &'static str,
    pub landing: [&'static str; 2],
    /// Name, product and time of what counts, a view of a product once in half an hour.
    pub done: Vec<(&'static str, Option<usize>, u64)>,
    pub touches: i64,
}

impl Seen {
    pub fn visitor(&self) -> Uuid {
        self.visit.own.visitor
    }

    pub fn has(&self, name: &str) -> bool {
        self.done.iter().any(|(done, ..)| *done == name)
    }

    pub fn bounced(&self) -> bool {
        self.page_views == 1 && self.actions == 0
    }

    pub fn converted(&self) -> bool {
        self.orders > 0
    }
}

/// Time of the touch (none: direct), tag, millionths.
pub type Credit = (Option<u64>, Option<usize>, i64);

/// A touch of a visitor: time, tag, session.
pub type Touched = (u64, usize, Uuid);

/// An order, as its entries make it.
pub struct Bought {
    pub site: &'static str,
    pub id: String,
    pub placed: u64,
    pub ways: BTreeSet<&'static str>,
    pub currency: Option<&'static str>,
    /// How its money counts; none: in no sum.
    pub exchange: Option<Exchange>,
    pub gross: Option<i64>,
    pub paid: i64,
    pub refunded: i64,
    pub net: Option<i64>,
    pub visitor: Option<Uuid>,
    /// What joined it to the visitor.
    pub rule: Option<&'static str>,
    /// Place of its visit in [`Truth::seen`].
    pub seen: Option<usize>,
    /// With how many reports name each.
    pub phones: BTreeMap<u8, usize>,
    pub items: Vec<(usize, i64, i64)>,
    /// By model.
    pub credits: BTreeMap<&'static str, Vec<Credit>>,
}

impl Bought {
    /// Joined to somebody without the customer's help.
    fn is_direct(&self) -> bool {
        matches!(self.rule, Some("cookie" | "session" | "visitor"))
    }

    /// What counts of it.
    pub fn revenue(&self, as_paid: bool) -> i64 {
        if as_paid { self.paid - self.refunded } else { self.net.unwrap_or(0) }
    }

    /// Cents in the report's currency; none where no rate is known.
    pub fn worth(&self, cents: i64) -> Option<i64> {
        self.exchange.map(|exchange| exchange.worth(cents))
    }

    /// Something is left of it; where money counts when it is paid, something was paid.
    pub fn is_purchase(&self, as_paid: bool) -> bool {
        if as_paid { self.paid > self.refunded } else { self.net.is_none_or(|net| net > 0) }
    }
}

pub struct Truth {
    pub seen: Vec<Seen>,
    pub bought: Vec<Bought>,
    pub crawls: Vec<(u64, &'static str)>,
    pub denials: Vec<(u64, bool, Option<usize>)>,
    /// Site, telephone and visitor, where one was given other than with an order.
    identified: BTreeSet<(&'static str, u8, Uuid)>,
}

impl Truth {
    pub fn of(world: &World) -> Truth {
        let mut truth = Truth {
            seen: world.visits.iter().map(|visit| seen(visit, world)).collect(),
            bought: Vec::new(),
            crawls: world.crawls.clone(),
            denials: world.denials.clone(),
            identified: world.visits.iter().flat_map(identified).collect(),
        };
        truth.bought = world.orders.iter().map(|order| truth.bought(order)).collect();
        let linked: Vec<_> = (0..world.orders.len())
            .map(|index| truth.linked(&truth.bought[index], &world.orders[index]))
            .collect();
        for (index, link) in linked.into_iter().enumerate() {
            if let Some((rule, visitor)) = link {
                let seen = truth.latest(visitor, truth.bought[index].placed);
                let order = &mut truth.bought[index];
                (order.rule, order.visitor, order.seen) = (Some(rule), Some(visitor), seen);
            }
            if truth.bought[index].visitor.is_some() {
                let credits = MODELS.map(|model| (model, truth.credits(&truth.bought[index], model)));
                truth.bought[index].credits = BTreeMap::from(credits);
            }
            let order = &truth.bought[index];
            if let Some(seen) = order.seen {
                truth.seen[seen].orders += 1;
                truth.seen[seen].points += 100 + order.gross.unwrap_or(0) / 10_000;
            }
        }
        truth
    }

    /// The visits of a visitor, by time.
    pub fn visits_of(&self, visitor: Uuid) -> impl Iterator<Item = &Seen> {
        let mut visits: Vec<&Seen> = self.seen.iter().filter(|seen| seen.visitor() == visitor).collect();
        visits.sort_by_key(|seen| seen.started);
        visits.into_iter()
    }

    /// Every piece of evidence of a visitor once a session, by time.
    pub fn touches_of(&self, visitor: Uuid) -> Vec<Touched> {
        let mut touches: BTreeMap<(Uuid, usize), u64> = BTreeMap::new();
        for seen in self.visits_of(visitor) {
            for stretch in seen.visit.before.iter().chain([&seen.visit.own]) {
                for step in &stretch.steps {
                    if let Some(tag) = step.tag {
                        let at = touches.entry((stretch.session, tag)).or_insert(step.at);
                        *at = step.at.min(*at);
                    }
                }
            }
        }
        let mut touches: Vec<Touched> =
            touches.into_iter().map(|((session, tag), at)| (at, tag, session)).collect();
        touches.sort_unstable();
        touches
    }

    /// The visitors who gave a telephone at a site: nobody where more than ten did, none who gave more than ten.
    fn identified_by(&self, site: &str, phone: u8) -> Vec<Uuid> {
        let given = self.identified.iter().filter(|(at, given, _)| *at == site && *given == phone);
        let visitors: Vec<Uuid> = given.map(|(.., visitor)| *visitor).collect();
        let is_believed = |visitor: &Uuid| {
            visitors.len() <= 10 && self.identified.iter().filter(|(.., who)| who == visitor).count() <= 10
        };
        visitors.iter().copied().filter(is_believed).collect()
    }

    /// A telephone that more than ten browsers ordered with at a site, or that more than 200 reports name, is nobody's.
    fn is_shared(&self, site: &str, phone: u8) -> bool {
        let orders = || {
            self.bought.iter().filter(move |order| order.site == site && order.phones.contains_key(&phone))
        };
        let browsers: BTreeSet<Uuid> =
            orders().filter(|order| order.is_direct()).filter_map(|order| order.visitor).collect();
        browsers.len() > 10 || orders().map(|order| order.phones[&phone]).sum::<usize>() > 200
    }

    /// The orders of an order's customer, itself included, and who gave a telephone of theirs: all that telephones connect.
    fn of_customer(&self, order: &Bought) -> (Vec<&Bought>, BTreeSet<Uuid>) {
        let at_site = || self.bought.iter().filter(|other| other.site == order.site);
        let own = |order: &Bought| {
            let phones = order.phones.keys().copied();
            phones.filter(|phone| !self.is_shared(order.site, *phone)).collect::<BTreeSet<u8>>()
        };
        let mut phones = own(order);
        loop {
            let theirs = at_site().map(own).filter(|other| !other.is_disjoint(&phones));
            let all: BTreeSet<u8> = theirs.flatten().chain(phones.clone()).collect();
            if all == phones {
                break;
            }
            phones = all;
        }
        // What very many keys hold together is no customer.
        let identified = if phones.len() > 50 { own(order) } else { phones.clone() };
        phones = if phones.len() > 50 { BTreeSet::new() } else { phones };
        let identified = identified.iter().flat_map(|phone| self.identified_by(order.site, *phone)).collect();
        let orders = at_site().filter(|other| other.id == order.id || !own(other).is_disjoint(&phones));
        (orders.collect(), identified)
    }

    /// The browsers of an order's customer: its own, those that placed another of the customer's orders, and those in which a
    /// telephone of theirs was given.
    pub fn browsers(&self, order: &Bought) -> BTreeSet<Uuid> {
        let (orders, identified) = self.of_customer(order);
        let others = orders.into_iter().filter(|other| other.is_direct());
        others.filter_map(|other| other.visitor).chain(order.visitor).chain(identified).collect()
    }

    /// Every piece of evidence of whoever placed an order, by time.
    pub fn touches_for(&self, order: &Bought) -> Vec<(Touched, bool)> {
        let browsers = self.browsers(order).into_iter();
        let touches = browsers.flat_map(|browser| {
            let is_own = Some(browser) == order.visitor;
            self.touches_of(browser).into_iter().map(move |touch| (touch, is_own))
        });
        let mut touches: Vec<_> = touches.collect();
        touches.sort_unstable();
        touches
    }

    fn bought(&self, order: &Order) -> Bought {
        let of = |kind| order.entries.iter().filter(move |entry| entry.kind == kind);
        // The best way, then the earliest.
        let better = |entry: &&Entry| (std::cmp::Reverse(entry.way), entry.at);
        let placed = of(OrderEntryKind::Placed).min_by_key(better);
        let gross = of(OrderEntryKind::Placed).filter(|entry| entry.value.is_some()).min_by_key(better);
        let named = |kind| of(kind).filter_map(|entry| entry.value).sum::<i64>();
        let all_left = |kind| of(kind).any(|entry| entry.value.is_none());
        let gross = gross.and_then(|entry| entry.value).or_else(|| {
            of(OrderEntryKind::Paid).any(|entry| entry.value.is_some()).then(|| named(OrderEntryKind::Paid))
        });
        let (paid, refunded) = (named(OrderEntryKind::Paid), named(OrderEntryKind::Refunded));
        let paid = if all_left(OrderEntryKind::Paid) { paid.max(gross.unwrap_or(paid)) } else { paid };
        let takes_all = all_left(OrderEntryKind::Cancelled)
            || of(OrderEntryKind::Cancelled)
                .any(|entry| entry.value.zip(gross).is_some_and(|(value, gross)| value >= gross));
        let cancelled = match gross {
            Some(gross) if takes_all => (gross - refunded).max(0),
            Some(gross) => named(OrderEntryKind::Cancelled).min(gross),
            None => named(OrderEntryKind::Cancelled),
        };
        let refunded = match gross {
            Some(gross) if all_left(OrderEntryKind::Refunded) => refunded.max(gross - cancelled),
            _ => refunded,
        };
        let first = order.entries.iter().min_by_key(|entry| entry.at).unwrap();
        let placed_at = placed.unwrap_or(first).at;
        let currency = of(OrderEntryKind::Placed)
            .filter(|entry| entry.currency.is_some())
            .min_by_key(better)
            .or_else(|| order.entries.iter().filter(|entry| entry.currency.is_some()).min_by_key(better))
            .and_then(|entry| entry.currency);
        let (rule, visitor, seen) = self.joined(order, placed_at);
        Bought {
            site: order.site,
            id: order.id.clone(),
            placed: placed_at,
            ways: order
                .entries
                .iter()
                .map(|entry| if entry.way == Way::Api { "api" } else { "header" })
                .collect(),
            currency,
            exchange: Exchange::of(currency, placed_at),
            gross,
            paid,
            refunded,
            net: gross.map(|gross| gross - cancelled - refunded),
            visitor,
            rule,
            seen,
            phones: order.entries.iter().filter_map(|entry| entry.phone).fold(
                BTreeMap::new(),
                |mut phones, phone| {
                    *phones.entry(phone).or_default() += 1;
                    phones
                },
            ),
            items: order
                .entries
                .iter()
                .find(|entry| !entry.items.is_empty())
                .map_or(Vec::new(), |one| one.items.clone()),
            credits: BTreeMap::new(),
        }
    }

    /// By the cookie on the request, else the session that was named, else the visitor.
    fn joined(&self, order: &Order, placed: u64) -> (Option<&'static str>, Option<Uuid>, Option<usize>) {
        let named = |way| order.entries.iter().filter(move |entry| entry.way == way);
        for (rule, way) in [("cookie", Way::Header), ("session", Way::Api)] {
            if let Some(session) = named(way).find_map(|entry| entry.session) {
                let index = self.seen.iter().position(|seen| seen.visit.own.session == session).unwrap();
                return (Some(rule), Some(self.seen[index].visitor()), Some(index));
            }
        }
        let Some(visitor) = named(Way::Api).find_map(|entry| entry.visitor) else {
            return (None, None, None);
        };
        (Some("visitor"), Some(visitor), self.latest(visitor, placed))
    }

    /// The visitor's last visit before an order, if it is not too long ago.
    fn latest(&self, visitor: Uuid, placed: u64) -> Option<usize> {
        (0..self.seen.len())
            .filter(|index| {
                let seen = &self.seen[*index];
                seen.visitor() == visitor && seen.started <= placed && seen.started > placed - LOOKBACK
            })
            .max_by_key(|index| self.seen[*index].started)
    }

    /// Of an order that nothing else joins: the customer's browser that was there last, by an order or, where a telephone was
    /// given, by a visit; else that of the click that is named.
    fn linked(&self, order: &Bought, told: &Order) -> Option<(&'static str, Uuid)> {
        if order.visitor.is_some() {
            return None;
        }
        let is_in_time = |at: u64| at <= order.placed && at > order.placed - LOOKBACK;
        let (orders, identified) = self.of_customer(order);
        let others = orders.into_iter().filter(|other| is_in_time(other.placed) && other.is_direct());
        let others = others.filter_map(|other| Some((other.placed, other.visitor?)));
        let visits = identified
            .into_iter()
            .filter_map(|visitor| Some((self.seen[self.latest(visitor, order.placed)?].started, visitor)));
        let last = others.chain(visits).max();
        if let Some((_, visitor)) = last {
            return Some(("customer", visitor));
        }
        let session = told.entries.iter().find_map(|entry| entry.click)?;
        let seen = self.seen.iter().find(|seen| seen.visit.own.session == session).unwrap();
        let clicks = seen.visit.own.steps.iter().filter(|step| step.tag == Some(CLICK));
        let is_known = is_in_time(clicks.map(|step| step.at).min()?);
        is_known.then(|| ("click_id", seen.visitor()))
    }

    fn credits(&self, order: &Bought, model: &str) -> Vec<Credit> {
        let direct = vec![(None, None, 1_000_000)];
        let touches: Vec<Touched> = self
            .touches_for(order)
            .into_iter()
            .map(|(touch, _)| touch)
            .filter(|(at, ..)| *at <= order.placed && *at > order.placed - LOOKBACK)
            .collect();
        let Some(last) = touches.len().checked_sub(1) else { return direct };
        let own = |touch: &Touched| {
            order.seen.is_some_and(|index| {
                let visit = &self.seen[index].visit;
                touch.2 == visit.own.session
                    || visit.before.as_ref().is_some_and(|before| before.session == touch.2)
            })
        };
        let one = |index: usize| vec![(Some(touches[index].0), Some(touches[index].1), 1_000_000)];
        let weights: Vec<f64> = match model {
            "first" => return one(0),
            "last_non_direct" => return one(last),
            "last" => return touches.iter().rposition(own).map_or(direct, one),
            "last_paid" => {
                return one(touches.iter().rposition(|(_, tag, _)| TAGS[*tag].paid).unwrap_or(last));
            }
            "linear" => vec![1.0; touches.len()],
            "position" if touches.len() <= 2 => vec![1.0; touches.len()],
            // 40, 20 and 40 percent; whole numbers, so that nothing is lost.
            "position" => {
                let ends = 2 * (touches.len() - 2);
                (0..=last).map(|index| if index == 0 || index == last { ends as f64 } else { 1.0 }).collect()
            }
            _ => touches
                .iter()
                .map(|(at, ..)| 0.5_f64.powf((order.placed - at) as f64 / (7 * DAY) as f64))
                .collect(),
        };
        let sum: f64 = weights.iter().sum();
        let shares: Vec<f64> = weights.iter().map(|weight| 1_000_000.0 * weight / sum).collect();
        let mut parts: Vec<i64> = shares.iter().map(|share| share.floor() as i64).collect();
        let mut turns: Vec<usize> = (0..=last).collect();
        // The greatest remainder first; they stand by time.
        turns.sort_by(|one, other| {
            let rest = |index: usize| ((shares[index] - shares[index].floor()) * 1e6).round() as i64;
            rest(*other).cmp(&rest(*one)).then(one.cmp(other))
        });
        let left = usize::try_from(1_000_000 - parts.iter().sum::<i64>()).unwrap();
        for index in turns.into_iter().take(left) {
            parts[index] += 1;
        }
        touches
            .iter()
            .zip(parts)
            .filter(|(_, part)| *part > 0)
            .map(|(touch, part)| (Some(touch.0), Some(touch.1), part))
            .collect()
    }
}

/// Cents among touches by their millionths, none lost: the greatest remainders first, then the earliest.
pub fn split(cents: i64, credits: &[i64]) -> Vec<i64> {
    let mut parts: Vec<i64> = credits.iter().map(|credit| (cents * credit).div_euclid(1_000_000)).collect();
    let mut turns: Vec<usize> = (0..credits.len()).collect();
    turns.sort_by_key(|index| std::cmp::Reverse((cents * credits[*index]).rem_euclid(1_000_000)));
    let left = usize::try_from(cents - parts.iter().sum::<i64>()).unwrap();
    for index in turns.into_iter().take(left) {
        parts[index] += 1;
    }
    parts
}

/// Who gave a telephone on a visit.
fn identified(visit: &Visit) -> impl Iterator<Item = (&'static str, u8, Uuid)> {
    let phones = visit.own.steps.iter().filter_map(|step| step.phone);
    phones.filter(|_| !visit.cookieless).map(|phone| (visit.site, phone, visit.own.visitor))
}

fn seen(visit: &Visit, world: &World) -> Seen {
    let stretches: Vec<_> = visit.before.iter().chain([&visit.own]).collect();
    let (mut page_views, mut actions, mut points) = (0, 0, 0);
    let mut done = Vec::new();
    for stretch in &stretches {
        let mut viewed = BTreeSet::new();
        for step in &stretch.steps {
            if step.page_view {
                page_views += 1;
                points += 1;
                done.push(("page_view", None, step.at));
            }
            for (name, product) in &step.actions {
                let is_view = *name == "product_view";
                if is_view && !viewed.insert((*product, (step.at - stretch.hour) / (HOUR / 2))) {
                    continue;
                }
                actions += i64::from(!is_view);
                points += match *name {
                    "product_view" => 3,
                    "add_to_cart" => 10,
                    "remove_from_cart" => -5,
                    "initiate_checkout" => 20,
                    "lead" => 52,
                    "search" => 2,
                    _ => 0,
                };
                done.push((*name, *product, step.at));
            }
            if step.order.is_some() {
                actions += 1;
                done.push(("purchase", None, step.at));
            }
        }
    }
    let steps = || stretches.iter().flat_map(|stretch| &stretch.steps);
    let started = visit.own.steps[0].at;
    let first =
        steps().filter(|step| step.tag.is_some()).min_by_key(|step| step.at).and_then(|step| step.tag);
    let landing = steps().filter(|step| step.page_view).min_by_key(|step| step.at);
    let landing = landing.unwrap_or_else(|| steps().min_by_key(|step| step.at).unwrap());
    let is_program = visit.own.steps.len() >= 45 && visit.own.steps[44].at - started < MINUTE;
    let touches: BTreeSet<_> = visit.own.steps.iter().filter_map(|step| step.tag).collect();
    Seen {
        started,
        began: steps().map(|step| step.at).min().unwrap(),
        ended: visit.own.steps.iter().map(|step| step.at).max().unwrap(),
        page_views,
        actions,
        points,
        orders: 0,
        bot: visit.bot_score >= 50 || is_program,
        excluded: world.staff.contains(&visit.own.visitor),
        label: first.map_or(DIRECT, |tag| TAGS[tag].label),
        agent: AGENTS[visit.agent].1,
        place: PLACES[visit.place].1,
        referrer: first.and_then(|tag| TAGS[tag].referrer).map_or("(none)", |(_, host)| host),
        landing: [landing.path, if visit.site == "second" { "second.example" } else { "shop.example" }],
        done,
        touches: touches.len() as i64,
        visit: visit.clone(),
    }
}
