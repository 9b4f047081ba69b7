//! The sample shop's past: the records that a proxy would have written over some weeks, the same for the same seed.
//!
//! They are to go through the journal and the shipper like any others; nothing here knows of a database.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rust_decimal::Decimal;
use uuid::{Builder, Uuid};

use super::goods::{CURRENCY, PRODUCTS, Product};
use super::records::{SITE, action, priced, told, total};
use super::scene::{Arrival, choose_address, choose_agent};
use crate::capture::bot::{RULES_VERSION, Reason};
use crate::capture::evidence::{Evidence, Referrer};
use crate::capture::query::NamePatterns;
use crate::capture::registry::Registry;
use crate::clock::unix_ms;
use crate::hit::{Action, BotCount, Hit, Identity, IdentityMode, OrderEntryKind, Record, Touch};
use crate::journal::directory::RunDirectory;
use crate::journal::frame::{FORMAT, Header, append};
use crate::journal::reader::segment_path;

const RECORDS_A_SEGMENT: usize = 20_000;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Number of the shop's first order.
const FIRST_ORDER: u32 = 1001;
/// Visits of the first day; the shop is growing.
const VISITS_A_DAY: u32 = 45;
/// How busy the hours of a day are, from midnight in Kyiv, relative to the busiest.
const HOURS: [u32; 24] =
    [18, 9, 5, 4, 4, 7, 16, 30, 46, 58, 66, 72, 76, 74, 70, 68, 70, 76, 84, 94, 100, 98, 74, 42];
const KYIV_AHEAD_HOURS: u64 = 2;
const BOTS: [&str; 4] = ["googlebot", "bingbot", "ahrefsbot", "facebookexternalhit"];

/// What happened.
#[derive(Debug)]
pub struct History {
    /// By time.
    pub records: Vec<Record<'static>>,
    /// Number that the shop's next order gets.
    pub next_order: u32,
}

impl History {
    /// The `days` before `until_ms` (Unix milliseconds).
    pub fn write(seed: u64, days: u32, until_ms: u64) -> Self {
        let mut writer = Writer {
            rng: StdRng::seed_from_u64(seed),
            records: Vec::new(),
            people: Vec::new(),
            next_order: FIRST_ORDER,
        };
        for day in 0..days {
            writer.day(until_ms - u64::from(days - day) * DAY_MS, day, days);
        }
        let Writer { mut records, next_order, .. } = writer;
        records.retain(|record| at_ms(record) < until_ms);
        records.sort_by_key(at_ms);
        Self { records, next_order }
    }

    /// Writes everything into a new run directory below `journal_dir`, as an earlier run would have left it: whoever
    /// adopts it ships it.
    pub fn leave_as_journal(&self, journal_dir: &Path) -> io::Result<()> {
        let run = RunDirectory::create(journal_dir)?;
        for (number, records) in (0..).zip(self.records.chunks(RECORDS_A_SEGMENT)) {
            let header =
                Header { format: FORMAT, journal: run.journal, segment: number, created_ms: unix_ms() };
            let mut bytes = header.encode().to_vec();
            for record in records {
                append(record, &mut bytes).map_err(io::Error::other)?;
            }
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create_new(true).mode(0o600).open(segment_path(&run.path, number))?;
            file.write_all(&bytes)?;
        }
        Ok(())
    }
}

fn at_ms(record: &Record<'_>) -> u64 {
    match record {
        Record::Hit(hit) => hit.at_ms,
        Record::Order(fact) => fact.at_ms,
        Record::Action(fact) => fact.at_ms,
        Record::Spend(fact) => fact.received_ms,
        Record::BotCount(count) => count.at_ms,
        Record::Erasure(erasure) => erasure.at_ms,
    }
}

#[derive(Debug, Clone)]
struct Person {
    visitor_id: Uuid,
    sessions: u16,
    agent: &'static str,
    address: IpAddr,
    /// Stands for the keyed hash of a telephone number.
    customer: [u8; 16],
}

/// One visit while it is written.
struct Visit {
    at_ms: u64,
    person: Person,
    session_id: Uuid,
    /// Belongs to the first hit.
    touch: Option<Touch<'static>>,
}

struct Writer {
    rng: StdRng,
    records: Vec<Record<'static>>,
    people: Vec<Person>,
    next_order: u32,
}

impl Writer {
    fn day(&mut self, begin_ms: u64, day: u32, days: u32) {
        let growth = 100 + 80 * day / days.max(1);
        let weekend = if (begin_ms / DAY_MS + 4) % 7 >= 5 { 125 } else { 100 };
        let visits = VISITS_A_DAY * growth / 100 * weekend / 100 * self.rng.random_range(80..120) / 100;
        let mut starts: Vec<u64> = (0..visits).map(|_| begin_ms + self.time_of_day(begin_ms)).collect();
        starts.sort_unstable();
        for start in starts {
            self.visit(start);
        }
        for _ in 0..self.rng.random_range(1..4) {
            self.order_by_telephone(begin_ms);
        }
        for _ in 0..self.rng.random_range(20..60) {
            let bot = *BOTS.choose(&mut self.rng).unwrap_or(&BOTS[0]);
            let at_ms = begin_ms + self.rng.random_range(0..DAY_MS);
            let reasons = Reason::Crawler as u32;
            let count = BotCount { at_ms, site: SITE.into(), bot: bot.into(), reasons, rules: RULES_VERSION };
            self.records.push(Record::BotCount(count));
        }
    }

    /// Milliseconds from the day's begin, more often in busy hours.
    fn time_of_day(&mut self, begin_ms: u64) -> u64 {
        loop {
            let offset = self.rng.random_range(0..DAY_MS);
            let hour = (begin_ms + offset) / HOUR_MS + KYIV_AHEAD_HOURS;
            let busy =
                HOURS.iter().cycle().nth(usize::try_from(hour % 24).unwrap_or(0)).copied().unwrap_or(100);
            if self.rng.random_ratio(busy, 100) {
                return offset;
            }
        }
    }

    fn visit(&mut self, at_ms: u64) {
        let arrival = Arrival::choose(&mut self.rng);
        let mut visit = self.begin(at_ms, arrival);
        if self.rng.random_bool(0.6) {
            self.page(&mut visit, "/", Vec::new());
        } else {
            self.look_at_product(&mut visit);
        }
        if self.rng.random_bool(0.45) {
            return;
        }
        for _ in 0..self.rng.random_range(1..6) {
            self.look_at_product(&mut visit);
        }
        let buys = self.rng.random_ratio(arrival.buyers_per_mille, 1000);
        if !buys && !self.rng.random_bool(0.12) {
            return;
        }
        let goods: Vec<&Product> =
            (0..self.rng.random_range(1..4)).filter_map(|_| PRODUCTS.choose(&mut self.rng)).collect();
        for (index, product) in goods.iter().enumerate() {
            let mut added = action("add_to_cart", Some(product));
            added.value = Some(total(&goods[..=index]));
            added.currency = Some(CURRENCY.into());
            self.hit(&mut visit, "/cart/add", 303, vec![added]);
            self.page(&mut visit, "/cart", Vec::new());
        }
        if buys || self.rng.random_bool(0.3) {
            self.page(&mut visit, "/checkout", vec![priced("initiate_checkout", total(&goods), None)]);
        }
        if buys {
            let order = self.number_order();
            let purchase = priced("purchase", total(&goods), Some(order.clone()));
            self.page(&mut visit, &format!("/thank-you/{order}"), vec![purchase]);
            self.follow_up(&order, visit.at_ms, &goods, &visit.person);
        }
    }

    /// A new person, or one who was here before.
    fn begin(&mut self, at_ms: u64, arrival: &Arrival) -> Visit {
        let known = if self.people.is_empty() || self.rng.random_bool(0.75) {
            None
        } else {
            Some(self.rng.random_range(0..self.people.len()))
        };
        let index = known.unwrap_or_else(|| {
            let person = Person {
                visitor_id: Builder::from_unix_timestamp_millis(at_ms, &self.rng.random()).into_uuid(),
                sessions: 0,
                agent: choose_agent(&mut self.rng),
                address: choose_address(&mut self.rng),
                customer: self.rng.random(),
            };
            self.people.push(person);
            self.people.len() - 1
        });
        self.people[index].sessions += 1;
        let query = arrival.query(&mut self.rng);
        let referrer = arrival.referrer.and_then(|referrer| Referrer::read(referrer.as_bytes()));
        let touch = Evidence::read(query.as_bytes(), &Registry::new(), &NamePatterns::default(), true)
            .touch(referrer)
            .map(Touch::into_owned);
        Visit { at_ms, person: self.people[index].clone(), session_id: self.session_id(at_ms), touch }
    }

    /// The hour, then what would be a keyed hash.
    fn session_id(&mut self, at_ms: u64) -> Uuid {
        let mut bytes: [u8; 16] = self.rng.random();
        bytes[..6].copy_from_slice(&(at_ms / HOUR_MS * HOUR_MS).to_be_bytes()[2..]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }

    fn look_at_product(&mut self, visit: &mut Visit) {
        let Some(product) = PRODUCTS.choose(&mut self.rng) else { return };
        self.page(visit, &format!("/product/{}", product.id), vec![action("product_view", Some(product))]);
    }

    fn page(&mut self, visit: &mut Visit, path: &str, actions: Vec<Action<'static>>) {
        self.hit(visit, path, 200, actions);
        visit.at_ms += self.rng.random_range(4_000..150_000);
    }

    fn hit(&mut self, visit: &mut Visit, path: &str, status: u16, actions: Vec<Action<'static>>) {
        let identity = Identity {
            mode: IdentityMode::Cookie,
            visitor_id: visit.person.visitor_id,
            session_id: visit.session_id,
            session_number: visit.person.sessions,
            minted_from: None,
        };
        self.records.push(Record::Hit(Box::new(Hit {
            at_ms: visit.at_ms,
            site: SITE.into(),
            host: "127.0.0.1".into(),
            path: path.to_owned().into(),
            status,
            page_view: status == 200,
            identity: Some(identity),
            touch: visit.touch.take(),
            client_address: Some(visit.person.address),
            user_agent: visit.person.agent.into(),
            actions,
            ..Hit::default()
        })));
    }

    fn number_order(&mut self) -> String {
        self.next_order += 1;
        (self.next_order - 1).to_string()
    }

    /// What the shop tells later: most orders are paid and delivered, some are called off or partly refunded.
    fn follow_up(&mut self, order: &str, placed_ms: u64, goods: &[&Product], person: &Person) {
        let value = total(goods);
        let facts = match self.rng.random_range(0..100) {
            0..6 => vec![(OrderEntryKind::Cancelled, 5 * HOUR_MS, None)],
            6..11 => vec![
                (OrderEntryKind::Paid, 20 * MINUTE_MS, Some(value)),
                (OrderEntryKind::Refunded, 6 * DAY_MS, Some((value / Decimal::TWO).trunc())),
            ],
            11..92 => vec![
                (OrderEntryKind::Paid, 20 * MINUTE_MS, Some(value)),
                (OrderEntryKind::Delivered, 3 * DAY_MS, None),
            ],
            _ => Vec::new(),
        };
        for (kind, later_ms, value) in facts {
            self.records.push(told(order, kind, placed_ms + later_ms, value, goods, person.customer));
        }
    }

    /// An order that no proxy saw.
    fn order_by_telephone(&mut self, day_begin_ms: u64) {
        if self.rng.random_bool(0.7) {
            return;
        }
        let order = self.number_order();
        let at_ms = day_begin_ms + self.time_of_day(day_begin_ms);
        let goods: Vec<&Product> = PRODUCTS.choose(&mut self.rng).into_iter().collect();
        let value = Some(total(&goods));
        let customer = self.rng.random();
        self.records.push(told(&order, OrderEntryKind::Placed, at_ms, value, &goods, customer));
        self.records.push(told(&order, OrderEntryKind::Paid, at_ms + HOUR_MS, value, &goods, customer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_past_in_order_of_time() {
        let until_ms = 1_795_000_000_000;
        let past = History::write(7, 30, until_ms);
        assert_eq!(past.records, History::write(7, 30, until_ms).records);
        assert!(past.records.is_sorted_by_key(at_ms));
        assert!(
            past.records.iter().all(|record| (until_ms - 30 * DAY_MS..until_ms).contains(&at_ms(record)))
        );
        let touches =
            past.records.iter().filter(|record| matches!(record, Record::Hit(hit) if hit.touch.is_some()));
        assert!(touches.count() > 500);
        assert!(past.next_order > FIRST_ORDER + 20);
    }
}
