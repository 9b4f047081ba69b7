//! What happens now: some visits of the last hour, none near the ends of the spans that `realtime` tells of, so that a slow
//! machine sees what a quick one does.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::truth::Truth;
use super::world::{MINUTE, PATHS, Random, Step, Visit, World, stretch};

impl World {
    /// Visits that began a minute, ten to twenty minutes, and fifty minutes ago.
    pub fn add_moment(&mut self, random: &mut Random) {
        self.now = u64::try_from(Timestamp::now().as_millisecond()).unwrap();
        for number in 0..24 {
            let ago = match number % 3 {
                0 => MINUTE + random.below(MINUTE / 2),
                1 => 10 * MINUTE + random.below(10 * MINUTE),
                _ => 50 * MINUTE,
            };
            let (visitor, at) = (random.uuid(), self.now - ago);
            let mut own = stretch(random, visitor, at);
            for (later, tag) in [(0, (number % 4 < 3).then_some(number % 2)), (20_000, None)] {
                let path = PATHS[number / 2 % PATHS.len()];
                let actions =
                    if later > 0 && number % 5 == 0 { vec![("add_to_cart", Some(1))] } else { Vec::new() };
                own.steps.push(Step {
                    at: at + later,
                    path,
                    page_view: number % 7 > 0 || later == 0,
                    tag,
                    actions,
                    order: None,
                    phone: None,
                });
            }
            let (site, bot_score) =
                (["default", "second"][usize::from(number % 8 == 7)], if number == 9 { 60 } else { 0 });
            self.visits.push(Visit {
                site,
                agent: 0,
                place: 3,
                bot_score,
                number: 1,
                cookieless: false,
                own,
                before: None,
            });
        }
    }
}

/// People, and how often each part of what is told was seen and used: page views, actions.
#[derive(Default)]
struct Told {
    people: BTreeSet<Uuid>,
    page_views: i64,
    actions: i64,
}

impl Told {
    fn add(&mut self, visitor: Uuid, step: &Step) {
        self.people.insert(visitor);
        self.page_views += i64::from(step.page_view);
        self.actions += step.actions.len() as i64;
    }

    fn counts(&self) -> Value {
        json!({"visitors": self.people.len(), "page_views": self.page_views, "actions": self.actions})
    }
}

/// The whole, rows by source, rows by page.
pub fn moment(world: &World, truth: &Truth) -> (Value, Vec<Value>, Vec<Value>) {
    let mut whole: [Told; 2] = Default::default();
    let mut sources: BTreeMap<&str, [Told; 2]> = BTreeMap::new();
    let mut pages: BTreeMap<(&str, &str), [Told; 2]> = BTreeMap::new();
    for seen in truth.seen.iter().filter(|seen| !seen.bot && !seen.excluded) {
        for step in &seen.visit.own.steps {
            for (index, span) in [5 * MINUTE, 30 * MINUTE].into_iter().enumerate() {
                if step.at + span >= world.now {
                    let page = pages.entry((step.path, seen.landing[1])).or_default();
                    for told in [&mut whole, sources.entry(seen.label[0]).or_default(), page] {
                        told[index].add(seen.visitor(), step);
                    }
                }
            }
        }
    }
    let spans =
        |told: &[Told; 2]| json!({"last_5_minutes": told[0].counts(), "last_30_minutes": told[1].counts()});
    let row = |named: Value, told: &[Told; 2]| {
        let mut row = spans(told);
        row.as_object_mut().unwrap().extend(named.as_object().unwrap().clone());
        row
    };
    let sources = sources.iter().map(|(source, told)| row(json!({"source": source}), told)).collect();
    let pages =
        pages.iter().map(|((path, host), told)| row(json!({"path": path, "host": host}), told)).collect();
    (spans(&whole), sources, pages)
}
