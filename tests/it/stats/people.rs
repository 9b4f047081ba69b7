//! `funnel`, `returning-visitors`, `products`, and what customers and cohorts bring, each against a naive count.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

use super::seed::{Order, Seed, Tags, Visit};
use super::server::{Server, problem};
use utm_dispatcher::store::rollups::refresh;

const STEPS: [&str; 4] = ["product_view", "add_to_cart", "initiate_checkout", "lead"];
const ADS: Tags = ("google", "cpc", "shoes");

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

fn dice() -> impl FnMut(u32) -> u32 {
    let mut runner = TestRunner::deterministic();
    move |most| (0..most).new_tree(&mut runner).unwrap().current()
}

fn percent(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 10_000.0).round() / 100.0)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { (values[middle - 1] + upper) / 2.0 })
}

async fn refuses(server: &Server, targets: &[&str]) {
    for target in targets {
        let answer = server.get(&format!("/api/v1/{target}")).send().await.unwrap();
        assert_eq!(problem(answer).await.0, 400, "{target}");
    }
}

/// Packs all that is there.
async fn pack(seed: &Seed) {
    let now = at("2027-01-01T00:00:00Z");
    while refresh(&seed.database.store(), now).await.unwrap().unwrap().hours > 0 {}
    let marks = seed.client.query_one("SELECT count(*) FROM dirty_hours", &[]).await.unwrap();
    assert_eq!(marks.get::<_, i64>(0), 0);
}

/// A session: its actions in minutes since it began, and the minute of its order, if any.
struct Journey {
    visit: Visit,
    actions: Vec<(i64, &'static str, &'static str)>,
    bought: Option<(i64, &'static str)>,
}

/// Sessions with actions in every order, of products a, b and c, some of them with an order of one product.
async fn journeys(seed: &Seed) -> Vec<Journey> {
    let mut pick = dice();
    let mut journeys = Vec::new();
    for index in 0..80_u128 {
        let begin = at("2026-11-03T09:00:00Z") + minutes(i64::from(pick(20_000)));
        let mut actions: Vec<_> = (0..pick(9))
            .map(|_| {
                let kind = [
                    "product_view",
                    "product_view",
                    "add_to_cart",
                    "add_to_cart",
                    "initiate_checkout",
                    "lead",
                    "remove_from_cart",
                ];
                (i64::from(pick(25)), kind[pick(7) as usize], ["a", "b", "c"][pick(3) as usize])
            })
            .collect();
        actions.sort_unstable();
        let bought = (pick(3) == 0).then(|| (26, ["a", "b", "c"][pick(3) as usize]));
        let visit = Visit {
            at: begin,
            seconds: 1_800,
            visitor: index + 1,
            number: 1,
            tags: (pick(2) == 0).then_some(ADS),
            order_count: i32::from(bought.is_some()),
            ..Visit::default()
        };
        let id = seed.visit(&visit).await;
        for (minute, kind, product) in &actions {
            seed.action(id, visit.visitor, begin + minutes(*minute), kind, Some(product)).await;
        }
        if let Some((minute, product)) = bought {
            let placed = begin + minutes(minute);
            let order = Order {
                id: index.to_string(),
                at: placed,
                visitor: Some(visit.visitor),
                session: Some(id),
                gross: Some("30.00"),
                net: Some(if index % 5 == 0 { "0" } else { "30.00" }),
                credits: vec![(visit.tags, 1_000_000)],
                ..Order::default()
            };
            seed.order(&order).await;
            let items = json!([{"product_id": product, "name": format!("Product {product}"), "quantity": 2, "price": "15.00"}]);
            seed.entry(&order.id, placed, Some(items), None, None).await;
        }
        journeys.push(Journey { visit, actions, bought });
    }
    journeys
}

/// When each step was reached, by minute: step by step through what was done.
fn walk(journey: &Journey, is_closed: bool) -> Vec<Option<i64>> {
    let mut reached = vec![Some(0)];
    for step in STEPS {
        let after = match (is_closed, reached.last().unwrap()) {
            (true, None) => {
                reached.push(None);
                continue;
            }
            (true, Some(minute)) => *minute,
            (false, _) => 0,
        };
        reached.push(
            journey
                .actions
                .iter()
                .find(|action| action.1 == step && action.0 >= after)
                .map(|action| action.0),
        );
    }
    let before = *reached.last().unwrap();
    // No purchase was seen, only told of: it follows whatever was.
    reached.push(journey.bought.and(before));
    reached
}

#[tokio::test]
async fn funnels_are_walked_in_order_or_not() {
    let seed = Seed::new().await;
    let journeys = journeys(&seed).await;
    let server = Server::start(&seed.database.url).await;
    let asked = [("closed", ""), ("closed", "&source=google"), ("open", "")];
    // From the sessions themselves, and packed.
    for (turn, (mode, filter)) in asked.into_iter().chain(asked).enumerate() {
        if turn == asked.len() {
            pack(&seed).await;
        }
        let answer =
            server.report(&format!("funnel?from=2026-11-01&to=2026-12-01&mode={mode}{filter}")).await;
        let walks: Vec<_> = journeys
            .iter()
            .filter(|journey| filter.is_empty() || journey.visit.tags.is_some())
            .map(|journey| walk(journey, mode == "closed"))
            .collect();
        let rows = answer["results"].as_array().unwrap();
        let names: Vec<_> = rows.iter().map(|row| row["step"].as_str().unwrap()).collect();
        assert_eq!(
            names,
            ["session", "product_view", "add_to_cart", "initiate_checkout", "lead", "purchase"]
        );
        let steps = if mode == "closed" { 0..6 } else { 0..5 };
        for step in steps {
            let row = &rows[step];
            let came = |step: usize| walks.iter().filter(|walk| walk[step].is_some()).count();
            assert_eq!(row["sessions"], came(step), "{mode}{filter}: {row}");
            assert_eq!(row["rate_of_total"].as_f64(), percent(came(step), walks.len()));
            if step == 0 {
                assert!(row["rate_of_previous"].is_null() && row["median_seconds"].is_null());
                continue;
            }
            assert_eq!(row["rate_of_previous"].as_f64(), percent(came(step), came(step - 1)));
            assert_eq!(
                row["drop_off"].as_u64(),
                came(step - 1).checked_sub(came(step)).map(|lost| lost as u64)
            );
            let times = walks.iter().filter_map(|walk| walk[step].zip(walk[step - 1]));
            let times =
                times.filter(|(now, before)| now >= before).map(|(now, before)| (now - before) as f64 * 60.0);
            assert_eq!(row["median_seconds"].as_f64(), median(times.collect()), "{mode}{filter}: {row}");
        }
    }
    // Open, purchases are conversions.
    let open = server.report("funnel?from=2026-11-01&to=2026-12-01&mode=open&steps=purchase").await;
    let general = server.report("general-stats?from=2026-11-01&to=2026-12-01").await;
    assert_eq!(open["results"][1]["sessions"], general["results"]["total_conversions"]);
    let unknown = server.report("funnel?from=2026-11-01&to=2026-12-01&steps=never_done,lead").await;
    assert_eq!(unknown["results"][2]["sessions"], 0);
    assert!(unknown["meta"]["warnings"][0].as_str().unwrap().contains("never_done"));
    refuses(&server, &["funnel?steps=a,,b", "funnel?mode=ajar", "funnel?steps=%27", "funnel?step=lead"])
        .await;
}

#[tokio::test]
async fn products_count_views_carts_and_whole_orders() {
    let seed = Seed::new().await;
    let journeys = journeys(&seed).await;
    let server = Server::start(&seed.database.url).await;
    for (turn, filter) in ["", "&source=google", "", "&source=google"].into_iter().enumerate() {
        if turn == 2 {
            pack(&seed).await;
        }
        let query = format!("from=2026-11-01&to=2026-12-01{filter}");
        let answer = server.report(&format!("products?{query}")).await;
        let chosen: Vec<_> =
            journeys.iter().filter(|one| filter.is_empty() || one.visit.tags.is_some()).collect();
        let mut totals = [0; 4];
        let mut sum = Decimal::ZERO;
        for row in answer["results"].as_array().unwrap() {
            let product = row["product_id"].as_str().unwrap();
            let acts = |journey: &Journey, kind| {
                journey.actions.iter().filter(|act| act.1 == kind && act.2 == product).count()
            };
            let all = |kind| chosen.iter().map(|one| acts(one, kind)).sum::<usize>();
            let bought = |one: &Journey| one.bought.is_some_and(|bought| bought.1 == product);
            let with =
                |condition: &dyn Fn(&Journey) -> bool| chosen.iter().filter(|one| condition(one)).count();
            let purchases = with(&bought);
            let earned = with(&|one| bought(one) && (one.visit.visitor - 1) % 5 != 0);
            assert_eq!(row["name"], format!("Product {product}"));
            assert_eq!(row["views"], all("product_view"));
            assert_eq!(row["cart_adds"], all("add_to_cart"));
            assert_eq!(row["cart_removes"], all("remove_from_cart"));
            assert_eq!(row["purchases"], purchases);
            assert_eq!(row["quantity"], (2 * purchases).to_string());
            assert_eq!(row["revenue"].as_str().unwrap(), format!("{}.00", 30 * earned));
            let (viewed, carted) =
                (with(&|one| acts(one, "product_view") > 0), with(&|one| acts(one, "add_to_cart") > 0));
            let both = with(&|one| acts(one, "product_view") > 0 && acts(one, "add_to_cart") > 0);
            assert_eq!(row["view_to_cart_rate"].as_f64(), percent(both, viewed));
            assert_eq!(
                row["cart_to_purchase_rate"].as_f64(),
                percent(with(&|one| bought(one) && acts(one, "add_to_cart") > 0), carted)
            );
            assert_eq!(
                row["view_to_purchase_rate"].as_f64(),
                percent(with(&|one| bought(one) && acts(one, "product_view") > 0), viewed)
            );
            for (total, count) in
                totals.iter_mut().zip([all("product_view"), all("add_to_cart"), purchases, 1])
            {
                *total += count;
            }
            sum += row["revenue"].as_str().unwrap().parse::<Decimal>().unwrap();
        }
        assert_eq!(totals[3], 3);
        assert_eq!(answer["meta"]["totals"]["views"], totals[0]);
        assert_eq!(answer["meta"]["totals"]["cart_adds"], totals[1]);
        assert_eq!(answer["meta"]["totals"]["purchases"], totals[2]);
        assert_eq!(answer["meta"]["totals"]["revenue"].as_str().unwrap().parse::<Decimal>().unwrap(), sum);
        let page = server.report(&format!("products?{query}&limit=1&sort=purchases")).await;
        assert_eq!(page["results"].as_array().unwrap().len(), 1);
        let rest =
            page["meta"]["other"]["views"].as_u64().unwrap() + page["results"][0]["views"].as_u64().unwrap();
        assert_eq!(rest, totals[0] as u64);
        let next = server
            .report(&format!(
                "products?{query}&limit=2&sort=purchases&cursor={}",
                page["meta"]["next_cursor"].as_str().unwrap()
            ))
            .await;
        assert!(next["meta"]["next_cursor"].is_null() && next["results"].as_array().unwrap().len() == 2);
    }
}

#[tokio::test]
async fn an_order_without_positions_has_the_products_that_its_purchases_name() {
    let seed = Seed::new().await;
    let begin = at("2026-11-10T10:00:00Z");
    // The second one's session is of before the window.
    for (order, begin) in [("1", begin), ("2", begin - SignedDuration::from_hours(24))] {
        let visitor = if order == "1" { 1 } else { 2 };
        let visit = Visit { at: begin, visitor, order_count: 1, ..Visit::default() };
        let id = seed.visit(&visit).await;
        let done = [
            ("product_view", "a"),
            ("add_to_cart", "a"),
            ("product_view", "b"),
            ("purchase", "a"),
            ("purchase", "c"),
        ];
        for (kind, product) in done {
            seed.action(id, visitor, begin, kind, Some(product)).await;
        }
        let named = "UPDATE events SET order_id = $1 FROM action_kinds k
                     WHERE k.kind_id = events.kind_id AND k.name = 'purchase' AND session_id = $2";
        seed.client.execute(named, &[&order, &id]).await.unwrap();
        let order = Order {
            id: order.to_owned(),
            at: at("2026-11-10T12:00:00Z"),
            visitor: Some(visitor),
            session: Some(id),
            credits: vec![(None, 1_000_000)],
            ..Order::default()
        };
        seed.order(&order).await;
        seed.entry(&order.id, order.at, None, None, None).await;
    }
    let server = Server::start(&seed.database.url).await;
    for packed in [false, true] {
        if packed {
            pack(&seed).await;
        }
        let answer =
            server.report("products?from=2026-11-10&to=2026-11-11&timezone=UTC&sort=purchases").await;
        let told = answer["results"].as_array().unwrap().iter().map(|row| {
            json!([
                row["product_id"],
                row["views"],
                row["purchases"],
                row["quantity"],
                row["revenue"],
                row["view_to_purchase_rate"],
                row["cart_to_purchase_rate"]
            ])
        });
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                json!(["a", 1, 2, "2", null, 100.0, 100.0]),
                json!(["c", 0, 2, "2", null, null, null]),
                json!(["b", 1, 0, "0", null, 0.0, null]),
            ]
        );
    }
}

#[tokio::test]
async fn a_visit_that_began_without_a_cookie_is_one_way_through_the_funnel() {
    let seed = Seed::new().await;
    let begin = at("2026-11-10T10:00:00Z");
    let landing = Visit {
        at: begin,
        hour: Some(at("2026-11-10T00:00:00Z")),
        visitor: 50,
        seconds: 60,
        ..Visit::default()
    };
    let beginning = seed.visit(&landing).await;
    let visit = Visit { at: begin + minutes(2), visitor: 51, seconds: 600, ..Visit::default() };
    let id = seed.visit(&visit).await;
    seed.client
        .batch_execute(&format!(
            "UPDATE sessions SET identity = 2 WHERE session_id = '{beginning}';
             INSERT INTO visitors (visitor_id, site_id, identity, first_seen, last_seen, minted_from)
             VALUES ('{}', 0, 1, '{}', '{}', '{}');
             SELECT join_landings(ARRAY['{}'::uuid])",
            Uuid::from_u128(51),
            begin + minutes(2),
            begin + minutes(9),
            Uuid::from_u128(50),
            Uuid::from_u128(50),
        ))
        .await
        .unwrap();
    seed.action(beginning, 50, begin + minutes(1), "product_view", Some("a")).await;
    seed.action(id, 51, begin + minutes(5), "add_to_cart", Some("a")).await;
    let server = Server::start(&seed.database.url).await;
    let answer = server.report("funnel?from=2026-11-01&to=2026-12-01&steps=product_view,add_to_cart").await;
    let counts: Vec<_> =
        answer["results"].as_array().unwrap().iter().map(|row| row["sessions"].clone()).collect();
    assert_eq!(counts, [1, 1, 1]);
    assert_eq!(answer["results"][2]["median_seconds"], 240.0);
    let products = server.report("products?from=2026-11-01&to=2026-12-01").await;
    assert_eq!(products["results"][0]["view_to_cart_rate"], 100.0);
    // What comes late of the beginning is told at once, though the hour of the session that continues it is packed.
    pack(&seed).await;
    assert_eq!(server.report("products?from=2026-11-01&to=2026-12-01").await["results"], products["results"]);
    seed.action(beginning, 50, begin + minutes(1), "product_view", Some("b")).await;
    let both = server.report("products?from=2026-11-01&to=2026-12-01").await;
    assert_eq!((&both["results"][1]["product_id"], &both["results"][1]["views"]), (&json!("b"), &json!(1)));
    pack(&seed).await;
    assert_eq!(server.report("products?from=2026-11-01&to=2026-12-01").await["results"], both["results"]);
}

#[tokio::test]
async fn what_an_older_program_packs_is_read_from_the_sessions() {
    let seed = Seed::new().await;
    journeys(&seed).await;
    let server = Server::start(&seed.database.url).await;
    let targets = ["funnel", "products", "general-stats"]
        .map(|report| format!("{report}?from=2026-11-01&to=2026-12-01&timezone=UTC"));
    let mut before = Vec::new();
    for target in &targets {
        before.push(server.report(target).await["results"].take());
    }
    pack(&seed).await;
    // Its statement names the columns that it knows.
    let older = "session_day, sessions, first_start, last_start, hours, starts, visitors, sketches, numbers, flags, page_views,
                 milliseconds, points, sites, campaigns, agents, places, referrers, landing_pages";
    let pack_so = format!(
        "CREATE TEMPORARY TABLE known AS SELECT * FROM session_columns;
         DELETE FROM session_columns;
         INSERT INTO session_columns ({older}) SELECT {older} FROM known"
    );
    seed.client.batch_execute(&pack_so).await.unwrap();
    for packed in [false, true] {
        if packed {
            pack(&seed).await;
        }
        for (target, before) in targets.iter().zip(&before) {
            assert_eq!(&server.report(target).await["results"], before, "{target}");
        }
        // Marks would have the older one pack the same hours again and again.
        let marks = "SELECT count(*) FROM dirty_hours";
        assert_eq!(seed.client.query_one(marks, &[]).await.unwrap().get::<_, i64>(0), 0);
    }
    let older = "SELECT count(*) FROM session_columns WHERE actions IS NULL";
    assert_eq!(seed.client.query_one(older, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_damaged_day_is_packed_anew() {
    let seed = Seed::new().await;
    journeys(&seed).await;
    let server = Server::start(&seed.database.url).await;
    let funnel = "funnel?from=2026-11-01&to=2026-12-01&timezone=UTC";
    let before = server.report(funnel).await["results"].take();
    pack(&seed).await;
    let damage = "UPDATE session_columns SET times = '\\x63'
                  WHERE session_day = (SELECT min(c.session_day) FROM session_columns c);
                  INSERT INTO dirty_hours SELECT min(session_hour) FROM sessions";
    seed.client.batch_execute(damage).await.unwrap();
    pack(&seed).await;
    assert_eq!(server.report(funnel).await["results"], before);
}

/// 60 people over 150 days to the day, each with some sessions, and orders of 40 of them.
async fn regulars(seed: &Seed, now: Timestamp) -> (Vec<Visit>, Vec<Order>) {
    let mut pick = dice();
    let (mut visits, mut orders) = (Vec::new(), Vec::new());
    for visitor in 1..=60_u128 {
        let mut begin = now - SignedDuration::from_hours(24 * 150) + minutes(i64::from(pick(140 * 1_440)));
        for number in 1..=i32::try_from(1 + pick(14)).unwrap() {
            let visit = Visit {
                at: begin,
                visitor,
                number,
                tags: [None, Some(ADS), Some(("mail", "email", ""))][pick(3) as usize],
                ..Visit::default()
            };
            visits.push(visit);
            begin += minutes(i64::from(40 + pick(20 * 1_440)));
            if begin >= now {
                break;
            }
        }
        for _ in 0..pick(4) {
            let own: Vec<_> = visits.iter().filter(|visit| visit.visitor == visitor).collect();
            let visit = own[pick(u32::try_from(own.len()).unwrap()) as usize];
            orders.push(Order {
                id: orders.len().to_string(),
                at: visit.at + minutes(7) + SignedDuration::from_secs(i64::try_from(orders.len()).unwrap()),
                visitor: Some(visitor),
                gross: Some("100.00"),
                net: Some(["100.00", "40.00", "0"][pick(3) as usize]),
                credits: vec![(visit.tags, 1_000_000)],
                ..Order::default()
            });
        }
    }
    for visit in &visits {
        seed.visit(visit).await;
    }
    for order in &orders {
        seed.order(order).await;
        // Two people of ten share a telephone.
        let number = order.visitor.unwrap() / 2;
        let phone = (number % 5 == 0).then(|| format!("phone {number}"));
        seed.entry(&order.id, order.at, None, phone.as_deref(), None).await;
    }
    (visits, orders)
}

fn recently() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second() / 3_600 * 3_600).unwrap()
}

#[tokio::test]
async fn returning_visitors_are_told_by_the_number_of_their_session() {
    let seed = Seed::new().await;
    let now = recently();
    let (visits, _) = regulars(&seed, now).await;
    let server = Server::start(&seed.database.url).await;
    let (from, to) = (now - SignedDuration::from_hours(24 * 60), now);
    let answer = server.report(&format!("returning-visitors?from={from}&to={to}")).await;
    let inside: Vec<_> = visits.iter().filter(|visit| visit.at >= from && visit.at < to).collect();
    let number =
        |least: i32, most: i32| inside.iter().filter(|visit| (least..=most).contains(&visit.number)).count();
    let results = &answer["results"];
    assert_eq!(results["total_sessions"], inside.len());
    assert_eq!(results["first_visits"], number(1, 1));
    assert_eq!(results["returning_visits"], number(2, 99));
    assert_eq!(results["returning_visit_rate"].as_f64(), percent(number(2, 99), inside.len()));
    let counts: Vec<_> =
        results["sessions_by_number"].as_array().unwrap().iter().map(|row| row["sessions"].clone()).collect();
    assert_eq!(counts, [number(1, 1), number(2, 2), number(3, 5), number(6, 10), number(11, 99)]);
    let gaps = inside.iter().filter(|visit| visit.number > 1).map(|visit| {
        let before =
            visits.iter().find(|one| one.visitor == visit.visitor && one.number == visit.number - 1).unwrap();
        visit.at.duration_since(before.at).as_secs_f64() / 86_400.0
    });
    let expected = median(gaps.collect()).unwrap();
    assert!((results["median_days_between_sessions"].as_f64().unwrap() - expected).abs() < 0.006);
}

/// Purchases by customer, by time: a telephone makes two visitors one.
fn customers(orders: &[Order]) -> Vec<Vec<&Order>> {
    let mut groups: BTreeMap<u128, Vec<&Order>> = BTreeMap::new();
    for order in orders.iter().filter(|order| order.net != Some("0")) {
        let visitor = order.visitor.unwrap();
        groups.entry(if visitor / 2 % 5 == 0 { visitor / 2 * 2 } else { visitor }).or_default().push(order);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.iter_mut().for_each(|orders| orders.sort_by_key(|order| order.at));
    groups
}

/// Who bought again within so many days, of those who first bought long enough ago.
fn horizons_agree(results: &Value, of_window: &[&Vec<&Order>], is_chosen: &dyn Fn(&&Order) -> bool) {
    for within in results["within"].as_array().unwrap() {
        let horizon = SignedDuration::from_hours(24 * within["days"].as_i64().unwrap());
        let mature: Vec<_> = of_window
            .iter()
            .filter(|orders| {
                is_chosen(&orders[0]) && Timestamp::now().duration_since(orders[0].at) >= horizon
            })
            .collect();
        let again = mature
            .iter()
            .filter(|orders| {
                orders.get(1).is_some_and(|second| second.at.duration_since(orders[0].at) <= horizon)
            })
            .count();
        assert_eq!(
            (&within["customers"], &within["repeat_customers"]),
            (&json!(mature.len()), &json!(again)),
            "{within}"
        );
    }
}

#[tokio::test]
async fn customers_come_again_and_cost_what_was_spent() {
    let seed = Seed::new().await;
    let now = recently();
    let (_, orders) = regulars(&seed, now).await;
    let nobody = Order {
        id: "nobody".into(),
        at: now - minutes(90_000),
        gross: Some("10"),
        net: Some("10"),
        ..Order::default()
    };
    seed.order(&nobody).await;
    let server = Server::start(&seed.database.url).await;
    let customers = customers(&orders);
    let (from, to) = (now - SignedDuration::from_hours(24 * 100), now);
    for source in ["", "google"] {
        let is_chosen = |order: &&Order| {
            order.at >= from
                && order.at < to
                && (source.is_empty() || order.credits[0].0.is_some_and(|tags| tags.0 == source))
        };
        let filter = if source.is_empty() { String::new() } else { format!("&source={source}") };
        let answer = server.report(&format!("repeat-rate?from={from}&to={to}{filter}")).await;
        let results = &answer["results"];
        let of_window: Vec<_> = customers.iter().filter(|orders| orders.iter().any(is_chosen)).collect();
        let repeat = of_window.iter().filter(|orders| orders.iter().skip(1).any(is_chosen)).count();
        let count =
            of_window.iter().flat_map(|orders| orders.iter()).filter(|order| is_chosen(order)).count();
        assert!(repeat > 3, "the shop has regulars");
        assert_eq!(results["total_customers"], of_window.len());
        assert_eq!(results["repeat_customers"], repeat);
        assert_eq!(results["one_time_customers"], of_window.len() - repeat);
        assert_eq!(results["repeat_rate"].as_f64(), percent(repeat, of_window.len()));
        assert_eq!(results["total_orders"], count);
        let gaps = of_window.iter().flat_map(|orders| orders.windows(2)).filter(|pair| is_chosen(&pair[1]));
        let gaps = gaps.map(|pair| pair[1].at.duration_since(pair[0].at).as_secs_f64() / 86_400.0).collect();
        let told = results["median_days_between_orders"].as_f64().unwrap();
        assert!((told - median(gaps).unwrap()).abs() < 0.006);
        horizons_agree(results, &of_window, &is_chosen);
        assert_eq!(
            answer["meta"]["warnings"].as_array().unwrap().len(),
            usize::from(source.is_empty()),
            "the order of nobody"
        );

        let roi = server.report(&format!("roi?from={from}&to={to}{filter}&ad_spend=250&margin=40")).await;
        let results = &roi["results"];
        let mut chosen: Vec<_> = orders.iter().filter(is_chosen).collect();
        if source.is_empty() {
            chosen.push(&nobody);
        }
        let revenue: Decimal =
            chosen.iter().map(|order| order.net.unwrap().parse::<Decimal>().unwrap()).sum();
        let spend = Decimal::from(250);
        let profit = revenue * Decimal::new(40, 2) - spend;
        let money = |field: &str| results[field].as_str().unwrap().parse::<Decimal>().unwrap();
        assert_eq!((money("revenue"), money("ad_spend"), money("profit")), (revenue, spend, profit));
        let near = |field: &str, exact: Decimal| {
            let told: Decimal = results[field].to_string().trim_matches('"').parse().unwrap();
            assert!((told - exact).abs() <= Decimal::new(5, 3), "{field}: {told} is not {exact}");
        };
        near("roi", profit / spend * Decimal::ONE_HUNDRED);
        near("roas", revenue / spend);
        let new = of_window.iter().filter(|orders| is_chosen(&orders[0])).count();
        assert_eq!(results["new_customers"], new);
        near("cac", spend / Decimal::from(new));
    }
    let unknown = server.report(&format!("roi?from={from}&to={to}")).await;
    for field in ["ad_spend", "profit", "roi", "roas", "cost_per_conversion", "cac"] {
        assert!(unknown["results"][field].is_null(), "{field}");
    }
    refuses(&server, &["roi?ad_spend=-1", "roi?ad_spend=much", "roi?margin=101", "roi?ad_spent=5"]).await;
}

fn label(tags: Option<Tags>) -> &'static str {
    tags.map_or("(direct)", |tags| tags.0)
}

#[tokio::test]
async fn visitors_are_worth_what_they_brought_since_they_came() {
    let seed = Seed::new().await;
    let now = recently();
    let (visits, orders) = regulars(&seed, now).await;
    let server = Server::start(&seed.database.url).await;
    let (from, to) = (now - SignedDuration::from_hours(24 * 120), now);
    let answer = server.report(&format!("ltv-comparison?from={from}&to={to}")).await;
    let firsts: Vec<_> =
        visits.iter().filter(|visit| visit.number == 1 && visit.at >= from && visit.at < to).collect();
    let sources: BTreeSet<_> = firsts.iter().map(|visit| label(visit.tags)).collect();
    let rows = answer["results"].as_array().unwrap();
    assert_eq!(rows.len(), sources.len());
    for row in rows {
        let source = row["source"].as_str().unwrap();
        let members: Vec<_> = firsts.iter().filter(|visit| label(visit.tags) == source).collect();
        let bought = |visit: &Visit, horizon: SignedDuration| -> Vec<&Order> {
            orders
                .iter()
                .filter(|order| {
                    order.visitor == Some(visit.visitor) && order.at.duration_since(visit.at) < horizon
                })
                .collect()
        };
        let sums = |least: SignedDuration, horizon: SignedDuration| {
            let old: Vec<_> =
                members.iter().filter(|visit| Timestamp::now().duration_since(visit.at) >= least).collect();
            let customers = old.iter().filter(|visit| !bought(visit, horizon).is_empty()).count();
            let revenue: Decimal = old
                .iter()
                .flat_map(|visit| bought(visit, horizon))
                .map(|order| order.net.unwrap().parse::<Decimal>().unwrap())
                .sum();
            (old.len(), customers, revenue)
        };
        let told = |suffix: &str| {
            (
                usize::try_from(row[format!("visitors{suffix}")].as_u64().unwrap()).unwrap(),
                usize::try_from(row[format!("customers{suffix}")].as_u64().unwrap()).unwrap(),
                row[format!("revenue{suffix}")].as_str().unwrap().parse::<Decimal>().unwrap(),
            )
        };
        assert_eq!(told(""), sums(SignedDuration::ZERO, SignedDuration::from_hours(24 * 400)), "{source}");
        for days in [30, 60, 90] {
            let horizon = SignedDuration::from_hours(24 * days);
            assert_eq!(told(&format!("_{days}")), sums(horizon, horizon), "{source} within {days} days");
        }
        let (count, customers, revenue) = told("");
        let each = |amount: Decimal, of: usize| {
            (of > 0).then(|| {
                format!(
                    "{:.2}",
                    (amount / Decimal::from(of))
                        .round_dp_with_strategy(2, rust_decimal::RoundingStrategy::MidpointAwayFromZero)
                )
            })
        };
        assert_eq!(row["ltv_per_visitor"].as_str().map(str::to_owned), each(revenue, count));
        assert_eq!(row["ltv_per_customer"].as_str().map(str::to_owned), each(revenue, customers));
    }
    assert_eq!(answer["meta"]["totals"]["visitors"], firsts.len());
}

/// The number of a local week.
fn week(at: Timestamp) -> i32 {
    let date = at.to_zoned(jiff::tz::TimeZone::get("Europe/Kyiv").unwrap()).date();
    let monday =
        date.checked_sub(jiff::Span::new().days(i64::from(date.weekday().to_monday_zero_offset()))).unwrap();
    monday.since(jiff::civil::date(2020, 1, 6)).unwrap().get_days() / 7
}

fn shared(amount: Decimal, members: usize) -> Value {
    if members == 0 {
        return Value::Null;
    }
    let each = amount / Decimal::from(members);
    let each = each.round_dp_with_strategy(2, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
    json!(format!("{each:.2}"))
}

#[tokio::test]
async fn cohorts_keep_their_members_and_their_periods() {
    let seed = Seed::new().await;
    let now = recently();
    let (visits, orders) = regulars(&seed, now).await;
    let server = Server::start(&seed.database.url).await;
    // Whole weeks, the last of which goes on.
    let first_week = week(now - SignedDuration::from_hours(24 * 70));
    let monday = jiff::civil::date(2020, 1, 6).checked_add(jiff::Span::new().weeks(first_week)).unwrap();
    let this_week = week(now);
    for metric in ["retention", "ltv", "orders", "revenue"] {
        let answer = server
            .report(&format!("cohort-analysis?from={monday}&cohort_type=week&metric={metric}&periods=6"))
            .await;
        let results = &answer["results"];
        let matrix = results["matrix"].as_array().unwrap();
        assert_eq!(i32::try_from(matrix.len()).unwrap(), this_week - first_week + 1);
        for (index, row) in (0..).zip(matrix) {
            let cohort = first_week + index;
            let members: BTreeSet<_> = visits
                .iter()
                .filter(|visit| visit.number == 1 && week(visit.at) == cohort)
                .map(|visit| visit.visitor)
                .collect();
            let total = &results["totals"][usize::try_from(index).unwrap()];
            assert_eq!(total["size"], members.len());
            let own: Vec<_> =
                orders.iter().filter(|order| members.contains(&order.visitor.unwrap())).collect();
            let until = |period: i32| own.iter().filter(move |order| week(order.at) <= cohort + period);
            let revenue = |period: i32| {
                until(period).map(|order| order.net.unwrap().parse::<Decimal>().unwrap()).sum::<Decimal>()
            };
            for (period, cell) in (0..).zip(row.as_array().unwrap()) {
                if cohort + period >= this_week {
                    assert!(cell.is_null(), "{metric} {index} {period}: the week goes on");
                    continue;
                }
                let expected = match metric {
                    "retention" => {
                        let active = members.iter().filter(|visitor| {
                            visits
                                .iter()
                                .any(|visit| visit.visitor == **visitor && week(visit.at) == cohort + period)
                        });
                        json!(percent(active.count(), members.len()))
                    }
                    "ltv" => shared(revenue(period), members.len()),
                    "orders" => json!(until(period).count()),
                    _ => json!(format!("{:.2}", revenue(period))),
                };
                assert_eq!(cell, &expected, "{metric} of cohort {index} in period {period}");
                if metric == "retention" && period == 0 && !members.is_empty() {
                    assert_eq!(cell, &json!(100.0));
                }
            }
        }
    }
    let usual = server.report("cohort-analysis").await;
    assert_eq!(usual["query"]["period"], "90d");
    refuses(
        &server,
        &[
            "cohort-analysis?cohort_type=day&period=year",
            "cohort-analysis?metric=love",
            "cohort-analysis?periods=0",
        ],
    )
    .await;
    let csv = server
        .get("/api/v1/cohort-analysis?period=month&cohort_type=week&periods=2&format=csv")
        .send()
        .await
        .unwrap();
    assert!(csv.text().await.unwrap().starts_with("\u{feff}cohort,size,period_0,period_1\r\n"));
}
