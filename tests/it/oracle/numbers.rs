//! The reports of numbers and money, from the list of what happened.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;

use super::compare::{each, each_order, mean, median, money, orders, percent, row};
use super::odds::Share;
use super::question::{Money, Question};
use super::truth::{Bought, Label, MODELS, Seen, Truth};
use super::world::DAY;

pub fn distinct<'a>(seen: impl Iterator<Item = &'a Seen>) -> i64 {
    seen.map(Seen::visitor).collect::<BTreeSet<Uuid>>().len() as i64
}

pub fn sum(question: &Question, truth: &Truth) -> Money {
    let mut sum = Money::default();
    question.earned(truth, question.filter.model).iter().for_each(|earned| sum.add(earned.money));
    sum
}

pub fn general(question: &Question, truth: &Truth) -> Value {
    let seen: Vec<&Seen> = question.seen(truth).collect();
    let money_of = sum(question, truth);
    let count = |condition: &dyn Fn(&Seen) -> bool| seen.iter().filter(|seen| condition(seen)).count() as i64;
    let total = seen.len() as i64;
    let page_views: i64 = seen.iter().map(|seen| seen.page_views).sum();
    let points: i64 = seen.iter().map(|seen| seen.points).sum();
    let ms: u64 = seen.iter().filter(|seen| !seen.bounced()).map(|seen| seen.ended - seen.began).sum();
    let conversions = count(&|seen| seen.converted());
    let leads = count(&|seen| seen.has("lead"));
    json!({
        "total_sessions": total,
        "unique_visitors": distinct(seen.iter().copied()),
        "new_visitors": count(&|seen| seen.visit.number == 1),
        "page_views": page_views,
        "pages_per_session": mean(page_views, total),
        "bounce_rate": percent(count(&|seen| seen.bounced()), total),
        "avg_session_seconds": mean(ms as i64, total * 1000),
        "total_conversions": conversions,
        "conversion_rate": percent(conversions, total),
        "lead_sessions": leads,
        "lead_rate": percent(leads, total),
        "registrations": count(&|seen| seen.has("registration")),
        "total_orders": orders(money_of.orders),
        "paid_orders": orders(money_of.paid_orders),
        "total_revenue": money(money_of.revenue),
        "gross_revenue": money(money_of.gross),
        "paid_revenue": money(money_of.paid),
        "refunds": money(money_of.refunded),
        "avg_order_value": each_order(money_of.gross, money_of.valued),
        "total_score": points,
        "avg_score_per_session": mean(points, total),
    })
}

/// What a list groups by: the names of its keys, and the group of a label or of a visit.
pub enum By {
    Label(fn(&Label) -> Vec<&'static str>),
    Visit(fn(&Seen) -> Vec<&'static str>, &'static [&'static str]),
}

pub const LISTS: [(&str, &[&str], By); 12] = [
    ("sources", &["source"], By::Label(|label| vec![label[0]])),
    ("campaigns", &["campaign", "source", "medium"], By::Label(|label| vec![label[2], label[0], label[1]])),
    ("content", &["content", "campaign", "source"], By::Label(|label| vec![label[3], label[2], label[0]])),
    ("channels", &["channel"], By::Label(|label| vec![label[5]])),
    (
        "devices",
        &["device", "brand", "model"],
        By::Visit(|seen| seen.agent[..3].to_vec(), &["unknown", "(none)", "(none)"]),
    ),
    ("browsers", &["browser", "version"], By::Visit(|seen| seen.agent[3..5].to_vec(), &["(none)"; 2])),
    ("operating-systems", &["os", "version"], By::Visit(|seen| seen.agent[5..].to_vec(), &["(none)"; 2])),
    ("geo", &["country", "country_name"], By::Visit(|seen| seen.place[..2].to_vec(), &["(none)"; 2])),
    (
        "geo/regions",
        &["region", "country"],
        By::Visit(|seen| vec![seen.place[2], seen.place[0]], &["(none)"; 2]),
    ),
    (
        "geo/cities",
        &["city", "region", "country"],
        By::Visit(|seen| vec![seen.place[3], seen.place[2], seen.place[0]], &["(none)"; 3]),
    ),
    ("referrers", &["referrer"], By::Visit(|seen| vec![seen.referrer], &["(none)"])),
    (
        "landing-pages",
        &["landing_page", "landing_host"],
        By::Visit(|seen| seen.landing.to_vec(), &["(none)"; 2]),
    ),
];

fn line(seen: &[&Seen], of: Money) -> Value {
    let total = seen.len() as i64;
    let count = |condition: fn(&Seen) -> bool| seen.iter().filter(|seen| condition(seen)).count() as i64;
    let conversions = count(Seen::converted);
    json!({
        "sessions": total,
        "visitors": distinct(seen.iter().copied()),
        "conversions": conversions,
        "conversion_rate": percent(conversions, total),
        "orders": orders(of.orders),
        "revenue": money(of.revenue),
        "avg_order_value": each_order(of.gross, of.valued),
        "total_score": seen.iter().map(|seen| seen.points).sum::<i64>(),
        "bounce_rate": percent(count(Seen::bounced), total),
    })
}

/// Rows and totals of a list.
pub fn list(question: &Question, truth: &Truth, keys: &[&str], by: &By) -> (Vec<Value>, Value) {
    let mut groups: BTreeMap<Vec<&str>, (Vec<&Seen>, Money)> = BTreeMap::new();
    let seen: Vec<&Seen> = question.seen(truth).collect();
    for seen in &seen {
        let key = match by {
            By::Label(key) => key(&seen.label),
            By::Visit(key, _) => key(seen),
        };
        groups.entry(key).or_default().0.push(seen);
    }
    for earned in question.earned(truth, question.filter.model) {
        let key = match by {
            By::Label(key) => key(&earned.label),
            By::Visit(key, nobody) => {
                earned.order.seen.map_or(nobody.to_vec(), |index| key(&truth.seen[index]))
            }
        };
        groups.entry(key).or_default().1.add(earned.money);
    }
    let rows = groups.iter().map(|(key, (seen, of))| {
        row(keys, &key.iter().map(ToString::to_string).collect::<Vec<_>>(), line(seen, *of))
    });
    (rows.collect(), line(&seen, sum(question, truth)))
}

pub fn series(question: &Question, truth: &Truth) -> Value {
    let seen: Vec<&Seen> = question.seen(truth).collect();
    let of = if question.filter.by_session {
        let mut of = Money::default();
        for earned in question.earned(truth, question.filter.model) {
            of.add(earned.money);
        }
        of
    } else {
        sum(question, truth)
    };
    json!({
        "sessions": seen.len(),
        "visitors": distinct(seen.iter().copied()),
        "page_views": seen.iter().map(|seen| seen.page_views).sum::<i64>(),
        "conversions": seen.iter().filter(|seen| seen.converted()).count(),
        "orders": orders(of.orders),
        "revenue": money(of.revenue),
    })
}

/// What brought an order, as far as it is asked for, its cents, itself, and the time of its first touch.
type Way<'a> = (Vec<&'a str>, i64, &'a Bought, Option<u64>);

/// All models side by side by source, and the ways.
pub fn attribution(question: &Question, truth: &Truth) -> (Vec<Value>, Vec<Value>, Value) {
    let mut groups: BTreeMap<&str, BTreeMap<&str, Money>> = BTreeMap::new();
    for model in MODELS {
        for earned in question.earned(truth, model) {
            groups.entry(earned.label[0]).or_default().entry(model).or_default().add(earned.money);
        }
    }
    let mut ways: BTreeMap<&str, Way<'_>> = BTreeMap::new();
    for earned in question.earned(truth, "linear") {
        let way = ways.entry(&earned.order.id).or_insert_with(|| {
            let touches = earned.order.credits.get("linear").into_iter().flatten();
            (Vec::new(), 0, earned.order, touches.filter_map(|(at, ..)| *at).min())
        });
        way.0.push(earned.label[0]);
        way.1 += earned.money.revenue;
    }
    let mut paths: BTreeMap<Vec<&str>, (i64, i64)> = BTreeMap::new();
    for (path, revenue, ..) in ways.values() {
        let path = paths.entry(path.clone()).or_default();
        *path = (path.0 + 1, path.1 + revenue);
    }
    let rows = groups.iter().map(|(source, models)| {
        let models: serde_json::Map<_, _> = MODELS
            .iter()
            .map(|model| {
                let of = models.get(model).copied().unwrap_or_default();
                ((*model).to_owned(), json!({"orders": orders(of.orders), "revenue": money(of.revenue)}))
            })
            .collect();
        let assisted =
            ways.values().filter(|(path, ..)| path.contains(source) && path.last() != Some(source));
        json!({"source": source, "models": models, "assisted_conversions": assisted.count()})
    });
    let paths = paths.iter().map(
        |(path, (count, revenue))| json!({"touches": path, "orders": count, "revenue": money(*revenue)}),
    );
    let touches = ways.values().map(|(path, ..)| path.len() as f64);
    let days = ways.values().filter_map(|(.., order, at)| Some((order.placed - (*at)?) as f64 / DAY as f64));
    let whole = json!({
        "orders": ways.len(),
        "median_touches": median(touches.collect()),
        "median_days_to_order": median(days.collect()),
    });
    (rows.collect(), paths.collect(), whole)
}

/// A customer's: when, and whether it is asked for.
type Purchases = Vec<(u64, bool)>;

/// The purchases of each customer by time, with whether the question asks for them.
fn customers(question: &Question, truth: &Truth) -> Vec<Purchases> {
    let chosen: BTreeSet<&str> = question
        .earned(truth, question.filter.model)
        .iter()
        .filter(|earned| earned.money.orders > 0)
        .map(|earned| earned.order.id.as_str())
        .collect();
    let is_of = |order: &&Bought| {
        order.is_purchase(question.as_paid)
            && (chosen.contains(order.id.as_str())
                || order.placed < question.to && question.filter.site.is_none_or(|site| site == order.site))
    };
    let mut groups: Vec<(BTreeSet<String>, Purchases)> = Vec::new();
    for order in truth.bought.iter().filter(is_of) {
        let mut keys: BTreeSet<String> = order.phones.keys().map(|phone| format!("phone {phone}")).collect();
        keys.extend(order.visitor.map(|visitor| visitor.to_string()));
        if keys.is_empty() {
            continue;
        }
        let mut orders = vec![(order.placed, chosen.contains(order.id.as_str()))];
        while let Some(index) = groups.iter().position(|(others, _)| !others.is_disjoint(&keys)) {
            let (others, more) = groups.swap_remove(index);
            keys.extend(others);
            orders.extend(more);
        }
        groups.push((keys, orders));
    }
    groups
        .into_iter()
        .map(|(_, mut orders)| {
            orders.sort_unstable();
            orders
        })
        .collect()
}

pub fn roi(question: &Question, truth: &Truth, spend: i64, margin: i64) -> Value {
    let of = sum(question, truth);
    let conversions = question.seen(truth).filter(|seen| seen.converted()).count() as i64;
    let new = customers(question, truth).iter().filter(|orders| orders[0].1).count() as i64;
    // Ten-thousandths of a unit.
    let profit = of.revenue * margin - spend * 100;
    json!({
        "revenue": money(of.revenue),
        "ad_spend": money(spend),
        "profit": each(profit, 100),
        "roi": percent(profit, spend * 100),
        "roas": mean(of.revenue, spend),
        "conversions": conversions,
        "cost_per_conversion": each(spend, conversions),
        "new_customers": new,
        "cac": each(spend, new),
        "avg_order_value": each_order(of.gross, of.valued),
    })
}

pub fn repeat_rate(question: &Question, truth: &Truth) -> Value {
    let customers = customers(question, truth);
    let of_window: Vec<_> =
        customers.iter().filter(|orders| orders.iter().any(|(_, chosen)| *chosen)).collect();
    let repeat =
        of_window.iter().filter(|orders| orders[1..].iter().any(|(_, chosen)| *chosen)).count() as i64;
    let count = of_window
        .iter()
        .map(|orders| orders.iter().filter(|(_, chosen)| *chosen).count() as i64)
        .sum::<i64>();
    let gaps = of_window.iter().flat_map(|orders| orders.windows(2)).filter(|pair| pair[1].1);
    let gaps = gaps.map(|pair| (pair[1].0 - pair[0].0) as f64 / DAY as f64);
    let within = [30, 60, 90].map(|days| {
        let mature: Vec<_> = of_window
            .iter()
            .filter(|orders| orders[0].1 && question.now >= orders[0].0 + days * DAY)
            .collect();
        let again =
            mature.iter().filter(|orders| orders.get(1).is_some_and(|two| two.0 - orders[0].0 <= days * DAY));
        let again = again.count() as i64;
        json!({"days": days, "customers": mature.len(), "repeat_customers": again,
               "repeat_rate": percent(again, mature.len() as i64)})
    });
    json!({
        "total_customers": of_window.len(),
        "repeat_customers": repeat,
        "one_time_customers": of_window.len() as i64 - repeat,
        "repeat_rate": percent(repeat, of_window.len() as i64),
        "total_orders": count,
        "avg_orders_per_customer": mean(count, of_window.len() as i64),
        "median_days_between_orders": median(gaps.collect()),
        "within": within,
    })
}

/// When, cents that count, cents of the whole order.
type Spent = (u64, i64, Option<i64>);

/// Orders of a visitor, whatever credited them: their times and cents.
fn orders_of(question: &Question, truth: &Truth, visitor: Uuid) -> Vec<Spent> {
    let of = |order: &&Bought| {
        order.visitor == Some(visitor) && question.filter.site.is_none_or(|site| site == order.site)
    };
    truth
        .bought
        .iter()
        .filter(of)
        .map(|order| {
            let (revenue, gross) = (order.revenue(question.as_paid), order.gross);
            (order.placed, order.worth(revenue).unwrap_or(0), gross.and_then(|gross| order.worth(gross)))
        })
        .collect()
}

pub fn ltv(question: &Question, truth: &Truth) -> Vec<Value> {
    let mut sources: BTreeMap<&str, Vec<(u64, Vec<Spent>)>> = BTreeMap::new();
    for seen in question.seen(truth).filter(|seen| seen.visit.number == 1) {
        let first = truth.touches_of(seen.visitor());
        let source = first.first().map_or("(direct)", |(_, tag, _)| super::tags::TAGS[*tag].label[0]);
        sources.entry(source).or_default().push((seen.began, orders_of(question, truth, seen.visitor())));
    }
    let rows = sources.iter().map(|(source, people)| {
        let all: Vec<_> = people.iter().flat_map(|(_, orders)| orders).collect();
        let customers = people.iter().filter(|(_, orders)| !orders.is_empty()).count() as i64;
        let revenue: i64 = all.iter().map(|(_, revenue, _)| revenue).sum();
        let valued: Vec<i64> = all.iter().filter_map(|(.., gross)| *gross).collect();
        let mut row = json!({
            "source": source,
            "visitors": people.len(),
            "customers": customers,
            "orders": all.len(),
            "revenue": money(revenue),
            "ltv_per_visitor": each(revenue, people.len() as i64),
            "ltv_per_customer": each(revenue, customers),
            "orders_per_customer": mean(all.len() as i64, customers),
            "avg_order_value": each(valued.iter().sum(), valued.len() as i64),
        });
        for days in [30, 60, 90] {
            let mature: Vec<_> =
                people.iter().filter(|(began, _)| began + days * DAY <= question.now).collect();
            let early = |(began, orders): &(u64, Vec<Spent>)| -> Vec<i64> {
                orders.iter().filter(|order| order.0 < began + days * DAY).map(|order| order.1).collect()
            };
            let revenue: i64 = mature.iter().flat_map(|one| early(one)).sum();
            row[format!("visitors_{days}")] = mature.len().into();
            row[format!("customers_{days}")] =
                mature.iter().filter(|one| !early(one).is_empty()).count().into();
            row[format!("revenue_{days}")] = money(revenue).into();
            row[format!("ltv_per_visitor_{days}")] = each(revenue, mature.len() as i64);
        }
        row
    });
    rows.collect()
}

/// Days or weeks of first visits: active members, and money since.
pub fn cohorts(
    question: &Question,
    truth: &Truth,
    edges: &[u64],
    count: usize,
    metric: &str,
) -> (Value, Vec<Value>) {
    let place = |at: u64| edges.windows(2).position(|pair| pair[0] <= at && at < pair[1]);
    let anybody = Question {
        filter: super::question::Filter { label: |_| true, device: None, country: None, ..question.filter },
        ..question.clone()
    };
    let (mut matrix, mut totals) = (Vec::new(), Vec::new());
    for cohort in 0..count {
        let members: BTreeSet<Uuid> = question
            .seen(truth)
            .filter(|seen| seen.visit.number == 1 && place(seen.started) == Some(cohort))
            .map(Seen::visitor)
            .collect();
        let bought: Vec<_> = members
            .iter()
            .flat_map(|member| orders_of(question, truth, *member))
            .filter(|order| place(order.0).is_some())
            .collect();
        let cells: Vec<Value> = (0..edges.len() - 1)
            .map(|period| {
                let Some(end) = edges.get(cohort + period + 1).filter(|end| **end <= question.now) else {
                    return Value::Null;
                };
                let so_far: i64 = bought.iter().filter(|order| order.0 < *end).map(|order| order.1).sum();
                let orders_so_far = bought.iter().filter(|order| order.0 < *end).count();
                let active = members.iter().filter(|member| {
                    truth
                        .visits_of(**member)
                        .any(|seen| anybody.counts(seen) && place(seen.started) == Some(cohort + period))
                });
                match metric {
                    "retention" => percent(active.count() as i64, members.len() as i64),
                    "ltv" => each(so_far, members.len() as i64),
                    "orders" => orders_so_far.into(),
                    _ => money(so_far).into(),
                }
            })
            .collect();
        let converted = members.iter().filter(|member| {
            orders_of(question, truth, **member).iter().any(|order| place(order.0).is_some())
        });
        totals.push(json!({"size": members.len(), "converted": converted.count(), "orders": bought.len(),
                           "revenue": money(bought.iter().map(|order| order.1).sum())}));
        matrix.push(Value::from(cells));
    }
    (matrix.into(), totals)
}

/// Contents with what each brought; and, those with the most visitors first, how many of them bought.
pub fn contents(question: &Question, truth: &Truth) -> (Vec<Value>, Vec<(String, Share)>) {
    let mut groups: BTreeMap<&str, (BTreeMap<Uuid, bool>, i64, Money)> = BTreeMap::new();
    for seen in question.seen(truth) {
        let group = groups.entry(seen.label[3]).or_default();
        *group.0.entry(seen.visitor()).or_default() |= seen.converted();
        group.1 += 1;
    }
    for earned in question.earned(truth, question.filter.model) {
        groups.entry(earned.label[3]).or_default().2.add(earned.money);
    }
    let rows = groups.iter().map(|(content, (people, sessions, of))| {
        let conversions = people.values().filter(|converted| **converted).count() as i64;
        json!({"content": content, "visitors": people.len(), "sessions": sessions, "conversions": conversions,
               "conversion_rate": percent(conversions, people.len() as i64), "orders": orders(of.orders),
               "revenue": money(of.revenue), "revenue_per_visitor": each(of.revenue, people.len() as i64)})
    });
    let mut shares: Vec<_> = groups
        .iter()
        .map(|(content, (people, ..))| {
            let bought = people.values().filter(|converted| **converted).count() as i64;
            ((*content).to_owned(), (bought, people.len() as i64))
        })
        .collect();
    shares.sort_by_key(|(_, (_, visitors))| std::cmp::Reverse(*visitors));
    (rows.collect(), shares)
}
