//! The reports of visits and of what is in them, from the list of what happened.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::compare::{median, money, orders, percent};
use super::question::{Money, Question};
use super::truth::{Bought, Seen, Truth};
use super::world::{DAY, HOUR, LOOKBACK};

const STEPS: [&str; 5] = ["product_view", "add_to_cart", "initiate_checkout", "lead", "purchase"];

/// When a visit came to each step.
fn reached(seen: &Seen, is_closed: bool) -> [Option<u64>; 6] {
    let mut reached = [None; 6];
    reached[0] = Some(seen.began);
    for (index, step) in STEPS.into_iter().enumerate() {
        let since = if is_closed { reached[index] } else { Some(seen.began) };
        let done = since.and_then(|since| {
            let times =
                seen.done.iter().filter(|(name, _, at)| *name == step && *at >= since).map(|(.., at)| *at);
            times.min()
        });
        reached[index + 1] = match (step, seen.converted()) {
            ("purchase", false) => None,
            // One that only the shop told of follows whatever was.
            ("purchase", true) => done.or(reached[index]).or(if is_closed { None } else { Some(seen.ended) }),
            _ => done,
        };
    }
    reached
}

pub fn funnel(question: &Question, truth: &Truth, is_closed: bool) -> Vec<Value> {
    let all: Vec<_> = question.seen(truth).map(|seen| reached(seen, is_closed)).collect();
    let count = |step: usize| all.iter().filter(|reached| reached[step].is_some()).count() as i64;
    (0..6)
        .map(|step| {
            if step == 0 {
                return json!({"step": "session", "sessions": count(0), "rate_of_total": percent(count(0), count(0)),
                              "rate_of_previous": null, "drop_off": null, "median_seconds": null});
            }
            let waits = all.iter().filter_map(|reached| reached[step]?.checked_sub(reached[step - 1]?));
            let lost = count(step - 1) - count(step);
            json!({
                "step": STEPS[step - 1],
                "sessions": count(step),
                "rate_of_total": percent(count(step), count(0)),
                "rate_of_previous": percent(count(step), count(step - 1)),
                "drop_off": (lost >= 0).then_some(lost),
                "median_seconds": median(waits.map(|ms| ms as f64 / 1000.0).collect()),
            })
        })
        .collect()
}

pub fn returning(question: &Question, truth: &Truth) -> Value {
    let seen: Vec<&Seen> = question.seen(truth).collect();
    let total = seen.len() as i64;
    let count = |from: u16, to: u16| {
        seen.iter().filter(|seen| (from..=to).contains(&seen.visit.number)).count() as i64
    };
    // Not known is longer than everything.
    let away = seen.iter().filter(|seen| seen.visit.number > 1).map(|seen| {
        let before = truth.visits_of(seen.visitor()).filter(|other| other.started < seen.started).last();
        before.map_or(f64::INFINITY, |before| (seen.started - before.started) as f64 / DAY as f64)
    });
    let rows = [("1", 1, 1), ("2", 2, 2), ("3-5", 3, 5), ("6-10", 6, 10), ("11+", 11, 999)].map(|(name, from, to)| {
        json!({"session_number": name, "sessions": count(from, to), "rate": percent(count(from, to), total)})
    });
    json!({
        "total_sessions": total,
        "first_visits": count(1, 1),
        "returning_visits": total - count(1, 1),
        "first_visit_rate": percent(count(1, 1), total),
        "returning_visit_rate": percent(total - count(1, 1), total),
        "sessions_by_number": rows,
        "median_days_between_sessions": median(away.collect()),
    })
}

#[derive(Default)]
struct Product {
    views: i64,
    adds: i64,
    removes: i64,
    purchases: i64,
    quantity: i64,
    revenue: Option<i64>,
    /// Visits that saw it, put it into the cart, bought it.
    visits: BTreeMap<usize, [bool; 3]>,
}

pub fn products(question: &Question, truth: &Truth) -> Vec<Value> {
    let mut products: BTreeMap<(&str, usize), Product> = BTreeMap::new();
    for (index, seen) in truth.seen.iter().enumerate() {
        if !question.has(seen.started) || !question.counts(seen) {
            continue;
        }
        for (name, product, _) in &seen.done {
            let Some(product) = product else { continue };
            let of = products.entry((seen.visit.site, *product)).or_default();
            let did = of.visits.entry(index).or_default();
            match *name {
                "product_view" => (of.views, did[0]) = (of.views + 1, true),
                "add_to_cart" => (of.adds, did[1]) = (of.adds + 1, true),
                _ => of.removes += 1,
            }
        }
    }
    let mut bought = BTreeSet::new();
    for earned in question.earned(truth, question.filter.model) {
        let order = earned.order;
        if earned.money.orders == 0 || !bought.insert((order.site, order.id.as_str())) {
            continue;
        }
        let mut counted = BTreeSet::new();
        let mut sums: BTreeMap<usize, i64> = BTreeMap::new();
        for (product, quantity, cents) in &order.items {
            let of = products.entry((order.site, *product)).or_default();
            of.purchases += i64::from(counted.insert(*product));
            of.quantity += quantity;
            *sums.entry(*product).or_insert(0) += quantity * cents;
            if let Some(index) = order.seen {
                of.visits.entry(index).or_default()[2] = true;
            }
        }
        if order.worth(order.revenue(question.as_paid)).is_some_and(|revenue| revenue > 0) {
            for (product, cents) in sums {
                let revenue = &mut products.get_mut(&(order.site, product)).unwrap().revenue;
                *revenue = Some(revenue.unwrap_or(0) + order.worth(cents).unwrap());
            }
        }
    }
    let rows = products.iter().map(|((site, product), of)| {
        let count =
            |which: fn(&[bool; 3]) -> bool| of.visits.values().filter(|did| which(did)).count() as i64;
        json!({
            "site": site, "product_id": format!("p{product}"), "views": of.views, "cart_adds": of.adds,
            "cart_removes": of.removes, "purchases": of.purchases, "quantity": of.quantity.to_string(),
            "revenue": of.revenue.map(money),
            "view_to_cart_rate": percent(count(|did| did[0] && did[1]), count(|did| did[0])),
            "cart_to_purchase_rate": percent(count(|did| did[1] && did[2]), count(|did| did[1])),
            "view_to_purchase_rate": percent(count(|did| did[0] && did[2]), count(|did| did[0])),
        })
    });
    rows.collect()
}

/// Of a question without filters but for the site.
pub fn coverage(question: &Question, truth: &Truth) -> Value {
    let of_window: Vec<&Seen> = truth
        .seen
        .iter()
        .filter(|seen| {
            question.has(seen.started) && question.filter.site.is_none_or(|site| site == seen.visit.site)
        })
        .collect();
    let counted: Vec<&Seen> = of_window.iter().copied().filter(|seen| !seen.bot && !seen.excluded).collect();
    let joined = truth.seen.iter().filter(|seen| {
        let began = seen.visit.before.as_ref().is_some_and(|before| question.has(before.steps[0].at));
        began && question.filter.site.is_none_or(|site| site == seen.visit.site)
    });
    let of_default = question.filter.site.is_none_or(|site| site == "default");
    // Hours of which a part is in the window.
    let hits: Vec<_> = truth
        .crawls
        .iter()
        .filter(|(at, _)| of_default && at - at % HOUR + HOUR > question.from && at - at % HOUR < question.to)
        .collect();
    let denied: Vec<_> = truth.denials.iter().filter(|(at, ..)| of_default && question.has(*at)).collect();
    let days: BTreeMap<String, [i64; 6]> = truth
        .bought
        .iter()
        .filter(|order| {
            question.has(order.placed) && question.filter.site.is_none_or(|site| site == order.site)
        })
        .fold(BTreeMap::new(), |mut days, order| {
            let at = jiff::Timestamp::from_millisecond(order.placed as i64).unwrap();
            let day = at.to_zoned(question.zone.clone()).date().to_string();
            let (seen, told) = (order.ways.contains("header"), order.ways.contains("api"));
            let touched = order.credits.values().flatten().any(|(at, ..)| at.is_some());
            let facts = [true, seen, told, seen && told, order.visitor.is_some(), touched];
            let counts = days.entry(day).or_insert([0; 6]);
            counts.iter_mut().zip(facts).for_each(|(count, fact)| *count += i64::from(fact));
            days
        });
    let tell = |[all, seen, told, both, visitor, touch]: [i64; 6]| {
        json!({"orders": all, "seen": seen, "reported": told, "seen_and_reported": both, "by_rule": 0, "by_header": seen,
               "by_import": 0, "by_api": told, "with_visitor": visitor, "with_touch": touch})
    };
    let total = days.values().fold([0; 6], |mut total, day| {
        total.iter_mut().zip(day).for_each(|(sum, count)| *sum += count);
        total
    });
    let mut told = tell(total);
    told["seen_rate"] = percent(total[3], total[2]);
    told["visitor_rate"] = percent(total[4], total[0]);
    told["touch_rate"] = percent(total[5], total[0]);
    told["days"] = days
        .iter()
        .map(|(day, counts)| {
            let mut row = tell(*counts);
            row["day"] = day.clone().into();
            row
        })
        .collect();
    json!({
        "sessions": {
            "counted": counted.len(),
            "page_views": counted.iter().map(|seen| seen.page_views).sum::<i64>(),
            "without_cookie": counted.iter().filter(|seen| seen.visit.cookieless).count(),
            "joined_landings": joined.count(),
            "flagged": of_window.iter().filter(|seen| seen.bot && !seen.excluded).count(),
            "excluded": of_window.iter().filter(|seen| seen.excluded).count(),
        },
        "denied": {"page_views": denied.len(), "landings": denied.iter().filter(|(_, landing, _)| *landing).count(), "orders": 0},
        "bots": {"hits": hits.len()},
        "orders": told,
    })
}

/// What is wrong; source, campaign and content as seen.
type Finding = (&'static str, Option<&'static str>, Option<&'static str>, Option<&'static str>);

/// What is wrong with tags: finding, source and campaign as seen, visits.
pub fn tag_health(question: &Question, truth: &Truth) -> Vec<Value> {
    let mut hits: BTreeMap<Finding, i64> = BTreeMap::new();
    let spelt = |site: &str| {
        let of_site =
            || question.seen(truth).filter(|seen| seen.visit.site == site && seen.label[0] == "facebook");
        of_site().any(|seen| seen.label[3] == "blue") && of_site().any(|seen| seen.label[3] == "red")
    };
    for seen in question.seen(truth) {
        let (campaign, content) = (seen.label[2], seen.label[3]);
        let wrong: &[Finding] = match (seen.label[0], campaign) {
            ("tiktok", _) => &[("unexpanded_macro", Some("tiktok"), Some("{{campaign.name}}"), None)],
            ("123456789", _) => &[
                ("source_is_an_id", Some("123456789"), Some("old_100%"), None),
                ("missing_medium", Some("123456789"), Some("old_100%"), None),
            ],
            // Both spellings must have come to the shop.
            ("facebook", _) if !spelt(seen.visit.site) => &[],
            ("facebook", _) if content == "blue" => {
                &[("spelt_differently", Some("Facebook"), Some("spring"), Some("Blue"))]
            }
            ("facebook", _) => &[("spelt_differently", Some("facebook"), Some("spring"), Some("red"))],
            _ => &[],
        };
        for finding in wrong {
            *hits.entry(*finding).or_default() += 1;
        }
    }
    let rows = hits.iter().map(|((finding, source, campaign, content), hits)| {
        json!({"finding": finding, "source": source, "campaign": campaign, "content": content, "hits": hits})
    });
    rows.collect()
}

/// Lines of an export of sessions, and how many touches and actions they have.
pub fn sessions(question: &Question, truth: &Truth) -> (Vec<Value>, i64, BTreeMap<String, i64>) {
    let (mut touches, mut actions) = (0, BTreeMap::new());
    let rows = question.seen(truth).map(|seen| {
        touches += seen.touches;
        for (name, ..) in &seen.done {
            *actions.entry((*name).to_owned()).or_default() += 1;
        }
        let kind = if seen.converted() { Some("purchase") } else { seen.has("lead").then_some("lead") };
        json!({
            "session_id": seen.visit.own.session.to_string(), "visitor_id": seen.visitor().to_string(),
            "site": seen.visit.site, "session_number": seen.visit.number, "page_views": seen.page_views,
            "actions": seen.actions, "score": seen.points, "source": seen.label[0], "medium": seen.label[1],
            "campaign": seen.label[2], "content": seen.label[3], "channel": seen.label[5], "device_type": seen.agent[0],
            "landing_page": seen.landing[0], "is_converted": seen.converted(), "conversion_type": kind,
        })
    });
    (rows.collect(), touches, actions)
}

/// The orders of the question, with what of each is asked for.
pub fn bought(question: &Question, truth: &Truth) -> Vec<Value> {
    let mut credited: BTreeMap<&str, Money> = BTreeMap::new();
    let mut all = BTreeMap::new();
    for earned in question.earned(truth, question.filter.model) {
        credited.entry(&earned.order.id).or_default().add(earned.money);
        all.insert(earned.order.id.as_str(), earned.order);
    }
    let cents = |cents: Option<i64>| cents.map(money);
    let rows = all.iter().filter(|(id, _)| credited[*id].orders > 0).map(|(id, order)| {
        json!({
            "order_id": id, "site": order.site, "gross": cents(order.gross), "paid": money(order.paid),
            "refunded": money(order.refunded), "net": cents(order.net),
            "session_id": order.seen.map(|index| truth.seen[index].visit.own.session.to_string()),
            "credit": orders(credited[id].orders),
            "revenue": order.exchange.map(|_| money(credited[id].revenue)),
        })
    });
    rows.collect()
}

/// Touches of an order's customer, with what became of each; and the credits by model, in the models' alphabetical order.
pub fn explained(order: &Bought, truth: &Truth) -> (Vec<Value>, Vec<Value>) {
    let touches = order.visitor.map_or(Vec::new(), |_| truth.touches_for(order));
    let rows = touches.iter().map(|((at, tag, session), is_own)| {
        let is_credited =
            order.credits.values().flatten().any(|(of, by, _)| (*of, *by) == (Some(*at), Some(*tag)));
        let verdict = match () {
            () if is_credited => "credited",
            () if *at > order.placed || order.placed - at > LOOKBACK => "ignored",
            () => "considered",
        };
        let known_by = (!is_own).then_some("phone");
        json!({"at": at, "session_id": session.to_string(), "verdict": verdict, "known_by": known_by})
    });
    let credits = order.credits.iter().flat_map(|(model, credits)| {
        credits
            .iter()
            .map(move |(at, _, part)| json!({"model": model, "at": at, "credit": *part as f64 / 1e6}))
    });
    (rows.collect(), credits.collect())
}
