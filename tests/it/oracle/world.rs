//! A week of two shops, as it happened: people, programs and orders, from a seed. Clocks are changed within it, in Kyiv on
//! its first night and in New York on its last.

use utm_dispatcher::hit::{OrderEntryKind, Way};
use uuid::Uuid;

use super::tags::{AGENTS, CLICK, PLACES, TAGS};

/// 2026-10-24T18:00:00Z
pub const BEGIN_MS: u64 = 1_792_864_800_000;
pub const MINUTE: u64 = 60_000;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;
/// How long a touch is worth something: shorter than the week, so that some are worth nothing any more.
pub const LOOKBACK: u64 = 4 * DAY;
const PEOPLE: u64 = 700;

pub static PATHS: [&str; 6] = ["/", "/boots", "/coats", "/sale", "/blog/care", "/about"];

/// A request.
#[derive(Clone, Debug)]
pub struct Step {
    pub at: u64,
    pub path: &'static str,
    pub page_view: bool,
    /// Place in [`TAGS`].
    pub tag: Option<usize>,
    /// Name and product.
    pub actions: Vec<(&'static str, Option<usize>)>,
    /// The order that it places.
    pub order: Option<usize>,
    /// The telephone that is given with it, of whoever has a cookie.
    pub phone: Option<u8>,
}

/// Requests of one session id.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub visitor: Uuid,
    pub session: Uuid,
    pub hour: u64,
    pub steps: Vec<Step>,
}

/// A visit.
#[derive(Clone, Debug)]
pub struct Visit {
    pub site: &'static str,
    pub agent: usize,
    /// Place in [`PLACES`].
    pub place: usize,
    pub bot_score: u8,
    pub number: u16,
    pub cookieless: bool,
    pub own: Stretch,
    /// What came of it before its visitor could be given a cookie.
    pub before: Option<Stretch>,
}

/// Something that was reported of an order.
#[derive(Clone, Debug)]
pub struct Entry {
    pub kind: OrderEntryKind,
    pub way: Way,
    pub reference: &'static str,
    pub at: u64,
    /// Cents.
    pub value: Option<i64>,
    pub currency: Option<&'static str>,
    pub session: Option<Uuid>,
    pub visitor: Option<Uuid>,
    pub phone: Option<u8>,
    /// Session whose click it names.
    pub click: Option<Uuid>,
    /// Product, quantity, cents of one.
    pub items: Vec<(usize, i64, i64)>,
}

#[derive(Clone, Debug)]
pub struct Order {
    pub site: &'static str,
    pub id: String,
    pub entries: Vec<Entry>,
}

#[derive(Default)]
pub struct World {
    pub visits: Vec<Visit>,
    pub orders: Vec<Order>,
    /// When, and of which bot.
    pub crawls: Vec<(u64, &'static str)>,
    /// When, whether from outside, and by which tag.
    pub denials: Vec<(u64, bool, Option<usize>)>,
    /// Whom a rule leaves out.
    pub staff: Vec<Uuid>,
    /// When it was made.
    pub now: u64,
}

/// SplitMix64: the same numbers everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    pub fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.next(), self.next())
    }

    fn cents(&mut self) -> i64 {
        i64::try_from(1 + self.below(300_000)).unwrap()
    }
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut random = Random(seed);
        let mut world = World::default();
        for _ in 0..PEOPLE {
            world.person(&mut random);
        }
        for number in 0..3 {
            world.program(&mut random, number);
        }
        for number in 0..60 {
            world.told_order(&mut random, number);
        }
        for _ in 0..300 {
            let bot = ["Googlebot", "AhrefsBot", "curl"][random.index(3)];
            world.crawls.push((BEGIN_MS + random.below(8 * DAY), bot));
        }
        for _ in 0..60 {
            let landing = random.chance(60);
            let tag = (landing && random.chance(70)).then(|| random.index(TAGS.len()));
            world.denials.push((BEGIN_MS + random.below(8 * DAY), landing, tag));
        }
        world.add_moment(&mut random);
        world
    }

    fn person(&mut self, random: &mut Random) {
        let site = if random.chance(12) { "second" } else { "default" };
        let (agent, mut id) = (random.index(AGENTS.len()), random.uuid());
        let cookieless = random.chance(8);
        let bot_score =
            if random.chance(4) { [50, 60, 90][random.index(3)] } else { [0, 0, 20][random.index(3)] };
        if random.chance(1) {
            self.staff.push(id);
        }
        let times = match random.below(20) {
            0..12 => 1,
            12..18 => 2 + random.below(3),
            _ => 5 + random.below(9),
        };
        let mut at = BEGIN_MS + random.below(8 * DAY);
        // Fewer at night.
        if at % DAY < 6 * HOUR && random.chance(70) {
            at += 8 * HOUR;
        }
        for number in 1..=times {
            if cookieless {
                id = random.uuid();
            }
            let hour = if cookieless { at - at % DAY } else { at - at % HOUR };
            let mut own = stretch(random, id, hour);
            let is_bounce = random.chance(45);
            let count = if is_bounce { 1 } else { 2 + random.below(9) };
            own.steps = steps(random, at, count, is_bounce);
            let before =
                (number == 1 && !cookieless && random.chance(12)).then(|| begin(random, &mut own)).flatten();
            let visit = Visit {
                site,
                agent,
                place: self.visits.len() % PLACES.len(),
                bot_score,
                number: if cookieless { 1 } else { u16::try_from(number).unwrap() },
                cookieless,
                own,
                before,
            };
            let end = visit.own.steps.iter().map(|step| step.at).max().unwrap();
            self.visits.push(visit);
            if random.chance(9) {
                self.purchase(random);
            }
            at = end + 35 * MINUTE + random.below(50 * HOUR);
            if at > BEGIN_MS + 9 * DAY {
                break;
            }
        }
    }

    /// More pages than a person turns.
    fn program(&mut self, random: &mut Random, number: u64) {
        let at = BEGIN_MS + number * 2 * DAY + 5 * HOUR;
        let id = random.uuid();
        let mut own = stretch(random, id, at);
        own.steps = (0..45).map(|page| Step { at: at + page * 300, ..page_view(random, at) }).collect();
        let visit = Visit {
            site: "default",
            agent: 0,
            place: 0,
            bot_score: 0,
            number: 1,
            cookieless: false,
            own,
            before: None,
        };
        self.visits.push(visit);
    }

    /// The last visit ends with an order, which the shop told as it passed.
    fn purchase(&mut self, random: &mut Random) {
        let index = self.orders.len();
        let visit = self.visits.last_mut().unwrap();
        let at =
            visit.own.steps.iter().map(|step| step.at).max().unwrap() + MINUTE + random.below(5 * MINUTE);
        let step = Step {
            at,
            path: "/done",
            page_view: random.chance(50),
            tag: None,
            actions: Vec::new(),
            order: Some(index),
            phone: None,
        };
        visit.own.steps.push(step);
        let currency = match random.below(20) {
            0..2 => Some("EUR"),
            2 => Some("PLN"),
            3 => Some("USD"),
            4 => Some("GBP"),
            5 => None,
            _ => Some("UAH"),
        };
        let value = (!random.chance(3)).then(|| random.cents());
        let placed = Entry {
            kind: OrderEntryKind::Placed,
            way: Way::Header,
            reference: "",
            at,
            value,
            currency,
            session: Some(visit.own.session),
            visitor: Some(visit.own.visitor),
            phone: None,
            click: None,
            items: Vec::new(),
        };
        let phone = random.chance(50).then(|| u8::try_from(random.below(60)).unwrap());
        let mut entries = vec![placed.clone()];
        if random.chance(60) {
            let at = at + random.below(HOUR);
            entries.push(Entry { at, phone, ..told(OrderEntryKind::Placed, &placed) });
            if random.chance(70) {
                let items = (0..1 + random.below(3))
                    .map(|_| (random.index(12), i64::try_from(1 + random.below(3)).unwrap(), random.cents()));
                entries.last_mut().unwrap().items = items.collect();
            }
        }
        self.orders.push(Order { site: visit.site, id: format!("o{index}"), entries });
        self.afterwards(random, &placed);
    }

    /// An order that only the shop told of: by its session, its visitor, a customer, a click or nothing that is known; some were
    /// never placed.
    fn told_order(&mut self, random: &mut Random, number: usize) {
        let names_click = number % 6 == 5;
        let chosen = self.visits.iter().cycle().skip(random.index(self.visits.len()));
        let clicked = |visit: &&Visit| visit.own.steps.iter().any(|step| step.tag == Some(CLICK));
        let visit = chosen.into_iter().find(|visit| !names_click || clicked(visit)).unwrap();
        let (site, session, visitor) = (visit.site, visit.own.session, visit.own.visitor);
        let at = visit.own.steps[0].at + random.below(3 * DAY);
        let placed = Entry {
            kind: OrderEntryKind::Placed,
            way: Way::Api,
            reference: "",
            at,
            value: Some(random.cents()),
            currency: Some(if number % 8 == 3 { "EUR" } else { "UAH" }),
            session: number.is_multiple_of(3).then_some(session),
            visitor: (number % 3 == 1).then_some(visitor),
            phone: random.chance(50).then(|| u8::try_from(random.below(60)).unwrap()),
            click: names_click.then_some(session),
            items: Vec::new(),
        };
        let first = if number % 10 == 9 {
            Entry { kind: OrderEntryKind::Paid, reference: "only", ..placed.clone() }
        } else {
            placed.clone()
        };
        self.orders.push(Order { site, id: format!("told{number}"), entries: vec![first] });
        self.afterwards(random, &placed);
    }

    /// What becomes of the last order: paid at once, in parts or days later, refunded, cancelled.
    fn afterwards(&mut self, random: &mut Random, placed: &Entry) {
        let later = |random: &mut Random, most| placed.at + MINUTE + random.below(most);
        let entry = |kind, reference, at, value| Entry { reference, at, value, ..told(kind, placed) };
        let part = placed.value.map(|value| 1 + value / 3);
        let mut entries = Vec::new();
        match random.below(10) {
            0..4 => entries.push(entry(OrderEntryKind::Paid, "p1", later(random, HOUR), placed.value)),
            4..6 => entries.push(entry(OrderEntryKind::Paid, "p1", later(random, 10 * DAY), None)),
            6..7 => {
                entries.push(entry(OrderEntryKind::Paid, "p1", later(random, HOUR), part));
                entries.push(entry(OrderEntryKind::Paid, "p2", later(random, 9 * DAY), part));
            }
            _ => {}
        }
        match random.below(20) {
            0 => entries.push(entry(OrderEntryKind::Refunded, "r1", later(random, 5 * DAY), None)),
            1..3 => entries.push(entry(OrderEntryKind::Refunded, "r1", later(random, 5 * DAY), part)),
            3 => entries.push(entry(OrderEntryKind::Cancelled, "", later(random, DAY), None)),
            4 => entries.push(entry(OrderEntryKind::Cancelled, "c1", later(random, DAY), part)),
            5 => {
                entries.push(entry(OrderEntryKind::Refunded, "r1", later(random, DAY), part));
                entries.push(entry(OrderEntryKind::Cancelled, "", later(random, DAY), None));
            }
            _ => {}
        }
        // Some customers give another number later on.
        let number = self.orders.len();
        if let Some(last) = entries.last_mut().filter(|_| number % 9 == 4) {
            last.phone = u8::try_from(number * 7 % 60).ok();
        }
        self.orders.last_mut().unwrap().entries.extend(entries);
    }
}

/// What the API says of an order that passed: it names nobody, whom the shop does not know.
fn told(kind: OrderEntryKind, placed: &Entry) -> Entry {
    Entry {
        kind,
        way: Way::Api,
        session: None,
        visitor: None,
        phone: None,
        click: None,
        items: Vec::new(),
        ..placed.clone()
    }
}

pub fn stretch(random: &mut Random, visitor: Uuid, at: u64) -> Stretch {
    let hour = at - at % HOUR;
    let session = Uuid::from_u64_pair(hour << 16 | random.below(1 << 16), random.next());
    Stretch { visitor, session, hour, steps: Vec::new() }
}

/// A landing without a cookie before `own`, whose evidence it has.
fn begin(random: &mut Random, own: &mut Stretch) -> Option<Stretch> {
    let first = own.steps[0].at;
    let at = first - MINUTE - random.below(12 * MINUTE);
    if at / DAY != first / DAY || at < BEGIN_MS {
        return None;
    }
    let id = random.uuid();
    let mut before = stretch(random, id, at - at % DAY);
    before.steps = steps(random, at, 1, true);
    if random.chance(50) {
        own.steps[0].tag = None;
    }
    Some(before)
}

fn page_view(random: &mut Random, at: u64) -> Step {
    Step {
        at,
        path: PATHS[random.index(PATHS.len())],
        page_view: true,
        tag: None,
        actions: Vec::new(),
        order: None,
        phone: None,
    }
}

/// What somebody does, `count` requests long.
fn steps(random: &mut Random, mut at: u64, count: u64, is_bounce: bool) -> Vec<Step> {
    let mut steps = vec![page_view(random, at)];
    if random.chance(60) {
        steps[0].tag = Some(random.index(TAGS.len()));
    }
    for _ in 1..count {
        let longest = if random.chance(10) { 29 * MINUTE } else { 2 * MINUTE };
        at += 1 + random.below(longest);
        let mut step = page_view(random, at);
        let product = Some(random.index(12));
        match random.below(20) {
            0..6 => step.actions.push(("product_view", product)),
            6..9 => step.actions.push(("add_to_cart", product)),
            9 => step.actions.push(("remove_from_cart", product)),
            10 | 11 => step.actions.push(("initiate_checkout", None)),
            12 => step.actions.push(("lead", None)),
            13 => step.actions.push(("search", None)),
            14 => step.actions.push(("registration", None)),
            // The same link again, or another one.
            15 => step.tag = steps[0].tag,
            16 if random.chance(30) => step.tag = Some(random.index(TAGS.len())),
            _ => {}
        }
        if step.actions.iter().any(|(name, _)| ["lead", "registration"].contains(name)) && random.chance(70) {
            step.phone = u8::try_from(random.below(60)).ok();
        }
        step.page_view = step.actions.is_empty() || random.chance(60);
        steps.push(step);
    }
    if is_bounce && random.chance(30) {
        steps[0].actions.push(("product_view", Some(random.index(12))));
    }
    steps
}
