//! What is asked: a window in a zone and filters, as a query string and as plain conditions.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::tags::TAGS;
use super::truth::{Bought, DIRECT, Label, NOT_TRACKED, Seen, Truth, split};

/// Filters.
#[derive(Clone, Copy)]
pub struct Filter {
    pub query: &'static str,
    pub label: fn(&Label) -> bool,
    pub device: Option<fn(&str) -> bool>,
    pub country: Option<fn(&str) -> bool>,
    pub site: Option<&'static str>,
    pub bots: &'static str,
    pub by_session: bool,
    pub model: &'static str,
}

const ALL: Filter = Filter {
    query: "",
    label: |_| true,
    device: None,
    country: None,
    site: None,
    bots: "exclude",
    by_session: false,
    model: "last_non_direct",
};

pub static FILTERS: [Filter; 22] = [
    ALL,
    Filter { query: "source=facebook", label: |label| label[0] == "facebook", ..ALL },
    Filter {
        query: "source!=facebook&model=linear",
        label: |label| label[0] != "facebook",
        model: "linear",
        ..ALL
    },
    Filter { query: "source=(direct)", label: |label| label[0] == "(direct)", ..ALL },
    Filter { query: "source=(not tracked)", label: |label| label[0] == "(not tracked)", ..ALL },
    Filter {
        query: "campaign=spring&model=position",
        label: |label| label[2] == "spring",
        model: "position",
        ..ALL
    },
    Filter {
        query: "campaign~=0%&site=default",
        label: |label| label[2].contains("0%"),
        site: Some("default"),
        ..ALL
    },
    Filter {
        query: "channel=Paid Social&model=first",
        label: |label| label[5] == "Paid Social",
        model: "first",
        ..ALL
    },
    Filter {
        query: "channel!=direct&channel!=email&model=last",
        label: |label| label[5] != "Direct" && label[5] != "Email",
        model: "last",
        ..ALL
    },
    Filter {
        query: "medium=cpc&medium=email&model=last_paid",
        label: |label| ["cpc", "email"].contains(&label[1]),
        model: "last_paid",
        ..ALL
    },
    Filter { query: "bots=include", bots: "include", ..ALL },
    Filter { query: "bots=only&model=time_decay", bots: "only", model: "time_decay", ..ALL },
    Filter { query: "device=mobile", device: Some(|device| device == "mobile"), ..ALL },
    Filter {
        query: "device!=mobile&source~=o&model=linear",
        label: |label| label[0].contains('o'),
        device: Some(|device| device != "mobile"),
        model: "linear",
        ..ALL
    },
    Filter { query: "site=second", site: Some("second"), ..ALL },
    Filter { query: "date_basis=session&model=position", by_session: true, model: "position", ..ALL },
    Filter {
        query: "date_basis=session&bots=include&content=blue",
        label: |label| label[3] == "blue",
        by_session: true,
        bots: "include",
        ..ALL
    },
    Filter {
        query: "content=(none)&term=boots",
        label: |label| label[3] == "(none)" && label[4] == "boots",
        ..ALL
    },
    Filter {
        query: "country=ua&country=pl&source!=(direct)",
        label: |label| label[0] != "(direct)",
        country: Some(|country| ["UA", "PL"].contains(&country)),
        ..ALL
    },
    Filter { query: "device!=mobile", device: Some(|device| device != "mobile"), ..ALL },
    Filter { query: "country=ua", country: Some(|country| country == "UA"), ..ALL },
    Filter {
        query: "country!=ua&bots=include",
        country: Some(|country| country != "UA"),
        bots: "include",
        ..ALL
    },
];

/// A zone, and local days of it: from the first to before the last; none: all there is.
pub static WINDOWS: [(&str, Option<(&str, &str)>); 8] = [
    ("Europe/Kyiv", Some(("2026-10-24", "2026-11-03"))),
    ("Europe/Kyiv", Some(("2026-10-25", "2026-10-26"))),
    ("America/New_York", Some(("2026-10-30", "2026-11-02"))),
    ("America/New_York", Some(("2026-11-01", "2026-11-02"))),
    ("UTC", Some(("2026-10-26", "2026-10-31"))),
    ("Asia/Kathmandu", Some(("2026-10-27", "2026-10-28"))),
    ("Europe/Kyiv", None),
    ("Europe/Kyiv", Some(("2026-09-20", "2026-11-20"))),
];

/// A question.
#[derive(Clone)]
pub struct Question {
    pub filter: Filter,
    pub zone: TimeZone,
    pub query: String,
    /// Milliseconds; the end is not in it.
    pub from: u64,
    pub to: u64,
    /// When it was asked.
    pub now: u64,
    /// Whether revenue is what was paid.
    pub as_paid: bool,
}

/// Money of some credited touches: cents, millionths.
#[derive(Default, Clone, Copy)]
pub struct Money {
    pub orders: i64,
    pub paid_orders: i64,
    pub revenue: i64,
    pub gross: i64,
    pub paid: i64,
    pub refunded: i64,
    /// Millionths of orders whose value is known.
    pub valued: i64,
}

impl Money {
    pub fn add(&mut self, other: Money) {
        self.orders += other.orders;
        self.paid_orders += other.paid_orders;
        self.revenue += other.revenue;
        self.gross += other.gross;
        self.paid += other.paid;
        self.refunded += other.refunded;
        self.valued += other.valued;
    }
}

/// What one touch, or none, earned of an order.
pub struct Earned<'a> {
    pub order: &'a Bought,
    pub label: Label,
    pub money: Money,
}

impl Question {
    pub fn new(filter: Filter, window: (&str, Option<(&str, &str)>)) -> Question {
        let (zone, days) = window;
        let query = filter.query.replace(' ', "%20").replace('%', "%25").replace("%2520", "%20");
        let days_query =
            days.map_or("period=all_time".to_owned(), |(from, to)| format!("from={from}&to={to}"));
        let query = format!("timezone={zone}&{days_query}&{query}");
        let zone = TimeZone::get(zone).unwrap();
        let instant = |day: &str| {
            let midnight = day.parse::<Date>().unwrap().to_zoned(zone.clone()).unwrap();
            u64::try_from(midnight.timestamp().as_millisecond()).unwrap()
        };
        let (from, to) = days.map_or((0, u64::MAX), |(from, to)| (instant(from), instant(to)));
        let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap();
        Question { filter, query, from, to, zone, now, as_paid: false }
    }

    /// The same in another window.
    pub fn within(&self, from: u64, to: u64) -> Question {
        Question { from, to, ..self.clone() }
    }

    pub fn has(&self, at: u64) -> bool {
        self.from <= at && at < self.to
    }

    fn is_asked_for(&self, seen: &Seen) -> bool {
        self.filter.device.is_none_or(|device| device(seen.agent[0]))
            && self.filter.country.is_none_or(|country| country(seen.place[0]))
            && match self.filter.bots {
                "include" => true,
                "only" => seen.bot,
                _ => !seen.bot,
            }
    }

    fn of_site(&self, site: &str) -> bool {
        self.filter.site.is_none_or(|wanted| wanted == site)
    }

    /// Whether reports count a visit, whenever it was.
    pub fn counts(&self, seen: &Seen) -> bool {
        !seen.excluded
            && self.is_asked_for(seen)
            && self.of_site(seen.visit.site)
            && (self.filter.label)(&seen.label)
    }

    /// The visits of the window.
    pub fn seen<'a>(&'a self, truth: &'a Truth) -> impl Iterator<Item = &'a Seen> {
        truth.seen.iter().filter(|seen| self.has(seen.started) && self.counts(seen))
    }

    fn is_of_window(&self, order: &Bought, truth: &Truth) -> bool {
        let seen = order.seen.map(|index| &truth.seen[index]);
        let Filter { by_session, bots, device, country, .. } = self.filter;
        if !self.of_site(order.site) {
            return false;
        }
        if by_session {
            return seen
                .is_some_and(|seen| self.has(seen.started) && !seen.excluded && self.is_asked_for(seen));
        }
        // A day's money is the shop's own list: also what programs and staff bought.
        self.has(order.placed)
            && (bots != "only" || seen.is_some_and(|seen| seen.bot))
            && device.is_none_or(|device| seen.is_some_and(|seen| device(seen.agent[0])))
            && country.is_none_or(|country| seen.is_some_and(|seen| country(seen.place[0])))
    }

    /// The window's orders by credited touch.
    pub fn earned<'a>(&self, truth: &'a Truth, model: &str) -> Vec<Earned<'a>> {
        let mut earned = Vec::new();
        for order in truth.bought.iter().filter(|order| self.is_of_window(order, truth)) {
            let nobody = vec![(None, None, 1_000_000)];
            let credits = order.credits.get(model).unwrap_or(&nobody);
            let millionths: Vec<i64> = credits.iter().map(|(.., part)| *part).collect();
            let parts = |cents: i64| split(order.worth(cents).unwrap_or(0), &millionths);
            let (revenue, gross) = (parts(order.revenue(self.as_paid)), parts(order.gross.unwrap_or(0)));
            let (paid, refunded) = (parts(order.paid), parts(order.refunded));
            for (index, (_, tag, part)) in credits.iter().enumerate() {
                let label = match tag {
                    Some(tag) => TAGS[*tag].label,
                    None if order.visitor.is_some() => DIRECT,
                    None => NOT_TRACKED,
                };
                let money = Money {
                    orders: *part,
                    paid_orders: if order.paid > 0 { *part } else { 0 },
                    revenue: revenue[index],
                    gross: gross[index],
                    paid: paid[index],
                    refunded: refunded[index],
                    valued: if order.exchange.is_some() && order.gross.is_some() { *part } else { 0 },
                };
                if (self.filter.label)(&label) {
                    earned.push(Earned { order, label, money });
                }
            }
        }
        earned
    }
}
