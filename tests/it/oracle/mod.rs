//! Every report, worked out a second time from the list of what happened, says the same: to the cent and the row.
//!
//! The week of `world.rs` goes through journals of several proxies, shuffled, and the real shipper into a real Postgres; half
//! of it is summed up. `truth.rs` says what it amounts to, the rest what a question makes of it; none of it shares code or
//! SQL with the program.

#![allow(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "times and counts of a week are small"
)]

mod compare;
mod moment;
mod numbers;
mod odds;
mod question;
mod rates;
mod records;
mod tags;
mod truth;
mod visits;
mod world;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use utm_dispatcher::config::{Fsync, Live, Revenue, StoreIp};
use utm_dispatcher::exclusion::CurrentExclusions;
use utm_dispatcher::hit::Record;
use utm_dispatcher::ingest::Receipts;
use utm_dispatcher::journal::directory::RunDirectory;
use utm_dispatcher::journal::frame::{Header, append};
use utm_dispatcher::journal::reader::segment_path;
use utm_dispatcher::journal::writer::{Writer, WriterConfig};
use utm_dispatcher::ship::feed::{BATCH_BYTES, Feed, FeedConfig, HALVING};
use utm_dispatcher::ship::{ShipSettings, Shipper};
use utm_dispatcher::store::judge::Judge;
use utm_dispatcher::store::rollups::refresh;
use utm_dispatcher::telemetry::metrics::Metrics;

use crate::harness::postgres::{self, Database};
use crate::harness::{self, eventually};
use crate::stats::server::Server;
use numbers::LISTS;
use question::{FILTERS, Question, WINDOWS};
use rates::{RATES, REPORT};
use truth::Truth;
use world::{BEGIN_MS, DAY, LOOKBACK, Random, World};

const JOURNALS: u64 = 4;

/// The week in a database, as several proxies told it.
async fn shipped(world: &World) -> Database {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let files = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    let mut journals: Vec<Vec<Record<'static>>> = (0..JOURNALS).map(|_| Vec::new()).collect();
    for record in world.records() {
        journals[random.below(JOURNALS) as usize].push(record);
    }
    let total: usize = journals.iter().map(Vec::len).sum();
    for (number, mut records) in journals.into_iter().enumerate() {
        // One proxy's hits come in order, those of the others all mixed up.
        records.sort_by_cached_key(|record| if number == 0 { record.at_ms() } else { random.next() });
        let directory = RunDirectory::create(files.path()).unwrap();
        let header = Header { format: 1, journal: directory.journal, segment: 0, created_ms: BEGIN_MS };
        let mut bytes = header.encode().to_vec();
        records.iter().for_each(|record| append(record, &mut bytes).unwrap());
        std::fs::write(segment_path(&directory.path, 0), bytes).unwrap();
    }
    let places = files.path().join("places.mmdb");
    std::fs::write(&places, include_bytes!("../../../src/ship/data/test-places.mmdb")).unwrap();
    let metrics = Arc::new(Metrics::default());
    let (journal_dir, segment_bytes, max_bytes) = (files.path().to_owned(), 64 << 20, 1 << 30);
    let config =
        WriterConfig { journal_dir: journal_dir.clone(), fsync: Fsync::Never, segment_bytes, max_bytes };
    let writer = Writer::start(config, Arc::clone(&metrics)).unwrap();
    let settings = ShipSettings {
        lookback: Duration::from_millis(LOOKBACK),
        store_ip: StoreIp::Truncated,
        new_values_per_day: 100_000,
        locale_prefixes: Vec::new(),
        geo_database: Some(places),
        points: utm_dispatcher::action::Points::default(),
    };
    let config = FeedConfig {
        journal_dir,
        keep: Duration::ZERO,
        max_bytes,
        batch_bytes: BATCH_BYTES,
        halving: HALVING,
    };
    let shipper = Shipper::new(database.store(), settings);
    let mut feed =
        Feed::new(config, shipper, Arc::clone(&writer.progress), Arc::new(Receipts::default()), metrics);
    feed.take_stock_when_due();
    let closed = CancellationToken::new();
    let feed = tokio::spawn(feed.run(closed.clone()));
    let sql = "SELECT (SELECT coalesce(sum(hits), 0) FROM journal_checkpoint)::bigint,
                      (SELECT count(*) FROM agents WHERE NOT is_read)";
    eventually("all is shipped and read", Duration::from_secs(120), async || {
        let row = client.query_one(sql, &[]).await.unwrap();
        (row.get::<_, i64>(0) == total as i64 && row.get::<_, i64>(1) == 0).then_some(())
    })
    .await;
    drop(writer);
    closed.cancel();
    feed.await.unwrap();
    let set_aside: i64 = client.query_one("SELECT count(*) FROM quarantine", &[]).await.unwrap().get(0);
    assert_eq!(set_aside, 0);
    for (day, currency, quote, rate) in RATES {
        let rule = "INSERT INTO exchange_rates (day, currency, quote, rate) VALUES ($1::text::date, $2, $3, $4::text::numeric)";
        client.execute(rule, &[&day, &currency, &quote, &rate]).await.unwrap();
    }
    judge_and_sum_up(&database, &client, world).await;
    database
}

/// What the office does: all is judged, and the first half summed up.
async fn judge_and_sum_up(database: &Database, client: &Client, world: &World) {
    for visitor in &world.staff {
        let rule = "INSERT INTO exclusions (kind, value, origin) VALUES ('visitor', $1, 'api')";
        client.execute(rule, &[&visitor.to_string()]).await.unwrap();
    }
    let config = harness::config(&[([127, 0, 0, 1], 9).into()]);
    let mut judge = Judge::new(database.store(), Live::new(config), CurrentExclusions::default());
    judge.look().await.unwrap();
    judge.judge_all(&CancellationToken::new()).await.unwrap();
    let half = Timestamp::from_millisecond((BEGIN_MS + 4 * DAY) as i64).unwrap();
    while refresh(&database.store(), half).await.unwrap().unwrap().hours > 0 {}
    client.batch_execute("ANALYZE").await.unwrap();
}

struct Asked<'a> {
    server: &'a Server,
    truth: &'a Truth,
    differences: RefCell<Vec<String>>,
}

impl<'a> Asked<'a> {
    fn new(server: &'a Server, truth: &'a Truth) -> Self {
        Asked { server, truth, differences: RefCell::default() }
    }

    fn agree(&self, actual: &Value, expected: &Value, place: &str) {
        compare::agree(actual, expected, place, &mut self.differences.borrow_mut());
    }

    fn agree_rows(&self, actual: &Value, expected: &[Value], keys: &[&str], place: &str) {
        compare::agree_rows(actual, expected, keys, place, &mut self.differences.borrow_mut());
    }

    /// Fails with the first of what differs.
    fn conclude(self) {
        let differences = self.differences.into_inner();
        let first: Vec<&str> = differences.iter().take(40).map(String::as_str).collect();
        assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), first.join("\n"));
    }

    async fn answer(&self, report: &str, question: &Question) -> (Value, String) {
        let mark = if report.contains('?') { '&' } else { '?' };
        let target = format!("{report}{mark}{}", question.query);
        (self.server.report(&target).await, target)
    }

    async fn numbers(&self, question: &Question) {
        let (answer, place) = self.answer("general-stats", question).await;
        self.agree(&answer["results"], &numbers::general(question, self.truth), &place);
        if question.filter.query.is_empty() {
            let of_window = |order: &&truth::Bought| question.has(order.placed) && order.exchange.is_none();
            let count = self.truth.bought.iter().filter(of_window).count();
            let warnings = answer["meta"]["warnings"].to_string();
            let says = |text: &str| warnings.contains(text);
            let is_said = says(&format!("\"{count} order")) && says("no exchange rate");
            assert_eq!(is_said, count > 0, "{count} left out of {place}: {warnings}");
        }
    }

    /// Every third list, from the one of this number on.
    async fn lists(&self, question: &Question, number: usize) {
        for (name, keys, by) in LISTS.iter().skip(number % 3).step_by(3) {
            let (answer, place) = self.answer(&format!("{name}?limit=1000"), question).await;
            let (rows, totals) = numbers::list(question, self.truth, keys, by);
            self.agree_rows(&answer["results"], &rows, keys, &place);
            self.agree(&answer["meta"]["totals"], &totals, &format!("totals of {place}"));
        }
    }

    async fn series(&self, question: &Question) {
        let (answer, place) = self.answer("timeseries?interval=day", question).await;
        let buckets = answer["results"].as_array().unwrap();
        let mut expected = question.from;
        for bucket in buckets {
            let [from, to] = edges(bucket);
            assert!(expected == 0 || from == expected, "{place}: a gap before {bucket}");
            let at = Timestamp::from_millisecond(from as i64).unwrap().to_zoned(question.zone.clone());
            assert!(expected == 0 || at.start_of_day().unwrap() == at, "{place}: no day begins at {at}");
            self.agree(
                bucket,
                &numbers::series(&question.within(from, to), self.truth),
                &format!("{place} from {at}"),
            );
            expected = to;
        }
        assert!(question.from == 0 || expected == question.to, "{place}: not to the end");
        self.agree(
            &answer["meta"]["totals"],
            &numbers::series(question, self.truth),
            &format!("totals of {place}"),
        );
    }

    async fn comparison(&self, question: &Question) {
        let (answer, place) = self.answer("compare", question).await;
        let of = |name: &str| edges(&answer["results"]["windows"][name]);
        let ([from, to], [before, after]) = (of("current"), of("previous"));
        assert_eq!((from, to), (question.from, question.to), "{place}");
        assert_eq!(after - before, to - from, "{place}: of another length");
        assert!(after <= from && from - after <= 4 * 3_600_000, "{place}: not the days before");
        for (name, window) in [("current", question.clone()), ("previous", question.within(before, after))] {
            let expected = numbers::general(&window, self.truth);
            self.agree(&answer["results"][name], &expected, &format!("{name} of {place}"));
        }
        let value =
            |name: &str| answer["results"][name]["total_revenue"].as_str().unwrap().parse::<f64>().unwrap();
        let (now, then) = (value("current"), value("previous"));
        let change = compare::ratio(100.0 * (now - then), then);
        self.agree(&answer["results"]["change"]["total_revenue"], &change, &place);
    }

    async fn orders(&self, question: &Question) {
        let (answer, place) = self.answer("orders?limit=1000", question).await;
        let expected = visits::bought(question, self.truth);
        self.agree_rows(&answer["results"], &expected, &["order_id"], &place);
        let totals = numbers::sum(question, self.truth);
        let expected = json!({
            "orders": compare::orders(totals.orders), "gross": compare::money(totals.gross),
            "revenue": compare::money(totals.revenue), "paid": compare::money(totals.paid),
            "refunds": compare::money(totals.refunded),
        });
        self.agree(&answer["meta"]["totals"], &expected, &format!("totals of {place}"));
    }

    async fn attribution(&self, question: &Question) {
        let (answer, place) = self.answer("attribution?limit=1000", question).await;
        let (rows, paths, whole) = numbers::attribution(question, self.truth);
        self.agree_rows(&answer["results"]["rows"], &rows, &["source"], &place);
        self.agree_rows(&answer["results"]["paths"], &paths, &["touches"], &format!("paths of {place}"));
        self.agree(&answer["results"], &whole, &place);
    }

    async fn customers(&self, question: &Question) {
        let (answer, place) = self.answer("roi?ad_spend=1234.56&margin=40", question).await;
        self.agree(&answer["results"], &numbers::roi(question, self.truth, 123_456, 40), &place);
        let (answer, place) = self.answer("repeat-rate", question).await;
        self.agree(&answer["results"], &numbers::repeat_rate(question, self.truth), &place);
        let (answer, place) = self.answer("ltv-comparison", question).await;
        self.agree_rows(&answer["results"], &numbers::ltv(question, self.truth), &["source"], &place);
    }

    async fn cohorts(&self, question: &Question) {
        for metric in ["retention", "ltv", "orders", "revenue"] {
            let target = format!("cohort-analysis?cohort_type=day&periods=9&metric={metric}");
            let (answer, place) = self.answer(&target, question).await;
            let results = &answer["results"];
            let mut edges: Vec<u64> = results["cohorts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|at| instant(at.as_str().unwrap()))
                .collect();
            let cohorts = edges.len();
            for _ in 0..9 {
                let last = Timestamp::from_millisecond(*edges.last().unwrap() as i64).unwrap();
                let next = last.to_zoned(question.zone.clone()).tomorrow().unwrap().start_of_day().unwrap();
                edges.push(next.timestamp().as_millisecond() as u64);
            }
            let (matrix, totals) =
                numbers::cohorts(question, self.truth, &edges[..cohorts + 9], cohorts, metric);
            let matrix: Vec<Value> =
                matrix.as_array().unwrap().iter().map(|row| row.as_array().unwrap()[..9].into()).collect();
            self.agree(&results["matrix"], &matrix.into(), &place);
            self.agree(&results["totals"], &totals.into(), &place);
        }
    }

    async fn visits(&self, question: &Question) {
        for (mode, is_closed) in [("closed", true), ("open", false)] {
            let (answer, place) = self.answer(&format!("funnel?mode={mode}"), question).await;
            self.agree(&answer["results"], &visits::funnel(question, self.truth, is_closed).into(), &place);
        }
        let (answer, place) = self.answer("returning-visitors", question).await;
        self.agree(&answer["results"], &visits::returning(question, self.truth), &place);
        let (answer, place) = self.answer("tag-health", question).await;
        let expected = visits::tag_health(question, self.truth);
        self.agree_rows(&answer["results"], &expected, &["finding", "source", "campaign", "content"], &place);
    }

    async fn products(&self, question: &Question) {
        let (answer, place) = self.answer("products?limit=1000", question).await;
        self.agree_rows(
            &answer["results"],
            &visits::products(question, self.truth),
            &["site", "product_id"],
            &place,
        );
    }

    async fn contents(&self, question: &Question) {
        let (answer, place) = self.answer("ab-test", question).await;
        let (rows, shares) = numbers::contents(question, self.truth);
        let (conclusions, whole) = odds::conclusions(&shares);
        for rows in [rows, conclusions] {
            self.agree_rows(&answer["results"]["variants"], &rows, &["content"], &place);
        }
        self.agree(&answer["results"], &whole, &place);
    }

    async fn moment(&self, world: &World) {
        let answer = self.server.report("realtime").await["results"].take();
        let (whole, sources, pages) = moment::moment(world, self.truth);
        self.agree(&answer, &whole, "realtime");
        self.agree_rows(&answer["sources"], &sources, &["source"], "sources of realtime");
        self.agree_rows(&answer["pages"], &pages, &["path", "host"], "pages of realtime");
    }

    /// Why orders are credited as they are: every ninth.
    async fn explanations(&self) {
        for rule in ["cookie", "session", "visitor", "customer", "click_id"] {
            assert!(self.truth.bought.iter().any(|order| order.rule == Some(rule)), "no order by {rule}");
        }
        let others = self.truth.bought.iter().filter(|order| {
            order.credits.values().flatten().any(|(at, ..)| at.is_some())
                && self.truth.browsers(order).len() > 1
        });
        assert!(others.count() > 9, "few orders of customers with several browsers");
        for currency in ["EUR", "USD", "PLN", "GBP"] {
            let of = |order: &&truth::Bought| order.currency == Some(currency);
            let known = self.truth.bought.iter().filter(of).map(|order| order.exchange.is_some());
            let known: std::collections::BTreeSet<bool> = known.collect();
            let expected: &[bool] = match currency {
                "EUR" | "PLN" => &[true],
                "USD" => &[false, true],
                _ => &[false],
            };
            assert!(known.iter().eq(expected), "orders in {currency}: {known:?}");
        }
        for order in self.truth.bought.iter().step_by(9) {
            let target = format!("orders/{}/explain?site={}", order.id, order.site);
            let explained = self.server.report(&target).await["results"].take();
            let exchange = &explained["exchange"];
            let is_other = order.currency.is_some_and(|currency| currency != REPORT);
            assert_eq!(exchange.is_null(), !is_other, "{target}: {exchange}");
            if is_other {
                let expected = json!({
                    "rate_day": order.exchange.and_then(|exchange| exchange.day).map(|day| day.to_string()),
                    "by_way_of": order.exchange.and_then(|exchange| exchange.by_way_of),
                    "revenue": order.worth(order.revenue(true)).map(compare::money),
                });
                self.agree(exchange, &expected, &format!("exchange of {target}"));
            }
            let (touches, credits) = visits::explained(order, self.truth);
            self.agree(&explained["join"]["rule"], &order.rule.into(), &format!("rule of {target}"));
            let told = |row: &Value| {
                json!({"at": instant(row["at"].as_str().unwrap()), "session_id": row["session_id"],
                                            "verdict": row["verdict"], "known_by": row["known_by"]})
            };
            let actual: Vec<Value> = explained["touches"].as_array().unwrap().iter().map(told).collect();
            self.agree(&actual.into(), &touches.into(), &format!("touches of {target}"));
            let told = |row: &Value| {
                json!({"model": row["model"], "at": row["touch_at"].as_str().map(instant),
                                            "credit": row["credit"]})
            };
            let actual: Vec<Value> = explained["credits"].as_array().unwrap().iter().map(told).collect();
            self.agree(&actual.into(), &credits.into(), &format!("credits of {target}"));
        }
    }

    async fn coverage(&self, question: &Question) {
        let (answer, place) = self.answer("coverage", question).await;
        self.agree(&answer["results"], &visits::coverage(question, self.truth), &place);
    }

    async fn exports(&self, question: &Question) -> usize {
        let (sessions, touches, actions) = visits::sessions(question, self.truth);
        let lines = self.lines("sessions", question).await;
        let begun = self.exported(&lines).await;
        self.agree_rows(&lines.into(), &sessions, &["session_id"], &question.query);
        assert_eq!(
            self.lines("touches", question).await.len() as i64,
            touches,
            "touches of {}",
            question.query
        );
        let mut types = std::collections::BTreeMap::new();
        for line in self.lines("actions", question).await {
            // An export that is cut off says so in its last line.
            let kind = line["type"].as_str().unwrap_or_else(|| panic!("{line}"));
            *types.entry(kind.to_owned()).or_default() += 1;
        }
        assert_eq!(types, actions, "actions of {}", question.query);
        let orders = visits::bought(question, self.truth);
        let named = |order: &Value| json!({"order_id": order["order_id"], "revenue": order["revenue"]});
        let orders: Vec<Value> = orders.iter().map(named).collect();
        self.agree_rows(
            &self.lines("orders", question).await.into(),
            &orders,
            &["order_id"],
            &question.query,
        );
        begun
    }

    /// What an export says of a session is what its own page says: of every seventeenth. How many of them began without a cookie?
    async fn exported(&self, lines: &[Value]) -> usize {
        let mut begun = 0;
        for line in lines.iter().step_by(17) {
            let id = line["session_id"].as_str().unwrap();
            let page = self.server.report(&format!("sessions/{id}")).await["results"]["session"].take();
            for (name, value) in line.as_object().unwrap() {
                if name.ends_with("_seen") || name == "converted_at" {
                    let [exported, told] = [value, &page[name]].map(|at| at.as_str().map(instant));
                    assert_eq!(exported, told, "{name} of {id}");
                } else {
                    assert_eq!(*value, page[name], "{name} of {id}");
                }
            }
            begun += usize::from(!page["begun_in"].is_null());
        }
        begun
    }

    async fn lines(&self, kind: &str, question: &Question) -> Vec<Value> {
        let target = format!("/api/v1/export?type={kind}&format=ndjson&{}", question.query);
        let text = self.server.get(&target).send().await.unwrap().text().await.unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{target}: {text}")))
            .collect()
    }
}

fn instant(text: &str) -> u64 {
    text.parse::<Timestamp>().unwrap().as_millisecond() as u64
}

fn edges(of: &Value) -> [u64; 2] {
    ["from", "to"].map(|edge| instant(of[edge].as_str().unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_report_says_what_the_list_of_what_happened_says() {
    let world = World::new(20_261_126);
    let truth = Truth::of(&world);
    let database = shipped(&world).await;
    let server = Server::start(&database.url).await;
    let asked = Asked::new(&server, &truth);
    asked.moment(&world).await;
    for (number, filter) in FILTERS.into_iter().enumerate() {
        let question = Question::new(filter, WINDOWS[number % 6]);
        asked.numbers(&question).await;
        asked.series(&question).await;
        asked.orders(&question).await;
        asked.lists(&Question::new(filter, WINDOWS[(number + 4) % 7]), number).await;
        asked.comparison(&Question::new(filter, WINDOWS[(number + 2) % 6])).await;
        asked.customers(&Question::new(filter, WINDOWS[(number + 1) % 7])).await;
        asked.products(&Question::new(filter, WINDOWS[(number + 3) % 7])).await;
    }
    // Two months around all there is, half of which is summed up.
    for filter in [1, 12, 19, 20, 21] {
        let question = Question::new(FILTERS[filter], WINDOWS[7]);
        asked.numbers(&question).await;
        asked.series(&question).await;
        asked.lists(&question, filter).await;
    }
    for window in WINDOWS {
        let question = Question::new(FILTERS[0], window);
        asked.numbers(&question).await;
        asked.coverage(&question).await;
        asked.attribution(&question).await;
    }
    // Of ways only the touches that pass.
    for (filter, window) in [(1, 0), (4, 6), (6, 4), (12, 2), (14, 0), (16, 0), (18, 6)] {
        asked.attribution(&Question::new(FILTERS[filter], WINDOWS[window])).await;
    }
    // What is told of sessions takes neither models nor a date's basis.
    let mut begun = 0;
    for (filter, window) in [(0, 0), (1, 2), (4, 1), (10, 4), (12, 6), (0, 3)] {
        let question = Question::new(FILTERS[filter], WINDOWS[window]);
        asked.visits(&question).await;
        begun += asked.exports(&question).await;
    }
    assert!(begun > 0, "no exported session began without a cookie");
    asked.coverage(&Question::new(FILTERS[14], WINDOWS[4])).await;
    for (filter, window) in [(0, 4), (1, 0), (10, 2)] {
        asked.cohorts(&Question::new(FILTERS[filter], WINDOWS[window])).await;
    }
    for window in [0, 4] {
        asked.contents(&Question::new(FILTERS[5], WINDOWS[window])).await;
    }
    asked.conclude();
    let paid = Server::start_with(&database.url, |config| {
        config.orders.revenue = Revenue::Paid;
        config.tracking.attribution.lookback = Duration::from_millis(LOOKBACK);
    })
    .await;
    let asked = Asked::new(&paid, &truth);
    asked.explanations().await;
    for (filter, window) in [(0, 0), (5, 0), (15, 2), (2, 4)] {
        let question = Question { as_paid: true, ..Question::new(FILTERS[filter], WINDOWS[window]) };
        asked.numbers(&question).await;
        asked.lists(&question, filter).await;
        asked.customers(&question).await;
    }
    asked.conclude();
}
