//! Floods of made-up values leave bounded rows, and what the office makes of a crowd does not tell the order of arrival.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use tokio_util::sync::CancellationToken;
use utm_dispatcher::config::Live;
use utm_dispatcher::exclusion::CurrentExclusions;
use utm_dispatcher::hit::BotCount;
use utm_dispatcher::store::judge::Judge;

use super::*;
use crate::harness::{config, postgres};

/// Most new values a day here.
const CAP: u64 = 100;

/// So many hits of bots, and as many of somebody with a campaign and a path of their own each: within a day.
async fn flood(records: u64) {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let capped = ShipSettings { new_values_per_day: u32::try_from(CAP).unwrap(), ..settings() };
    let mut shipper = Shipper::new(database.store(), capped);
    let mut journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let bots = ["googlebot", "bingbot", "curl", "(no user agent)", "(scanner)"];
    for piece in 0..records.div_ceil(2500) {
        let mut batch = Vec::new();
        for number in piece * 2500..records.min((piece + 1) * 2500) {
            let at_ms = TEN + number * 1000 % (2 * 60 * MINUTE);
            batch.push(Record::BotCount(BotCount {
                at_ms,
                site: "default".into(),
                bot: bots[usize::try_from(number % 5).unwrap()].into(),
                reasons: 1,
                rules: 2,
            }));
            let visitor = u8::try_from(number % 200).unwrap();
            let tagged = Touch {
                campaign: Some(format!("{number:x}-{}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into()),
                ..touch(i64::try_from(number).unwrap(), "facebook")
            };
            let seen = page_view(identity(visitor, 1, TEN), at_ms);
            batch.push(hit(Hit { path: format!("/{number}").into(), touch: Some(tagged), ..seen }));
        }
        assert_eq!(shipper.ship(journal.batch(&batch)).await.unwrap().quarantined, 0);
    }
    let count = async |sql: &str| value(&client, sql).await.unwrap().parse::<u64>().unwrap();
    assert_eq!(count("SELECT sum(hits) FROM bot_hits").await, records, "none is missing");
    assert!(count("SELECT count(*) FROM bot_hits").await <= 2 * 5, "by hour, bot and reason");
    for table in ["campaigns", "pages"] {
        let rows = count(&format!("SELECT count(*) FROM {table}")).await;
        assert!(rows <= CAP + 1, "{table}: {rows}");
    }
    assert_eq!(count("SELECT sum(page_views) FROM sessions").await, records);
    println!("{records} hits of bots and {records} made-up campaigns and paths: bounded");
}

#[tokio::test(flavor = "multi_thread")]
async fn bots_and_made_up_campaigns_leave_bounded_rows() {
    flood(5_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo test --test it -- --ignored a_million"]
async fn a_million_bots_and_a_million_made_up_campaigns_leave_bounded_rows() {
    flood(1_000_000).await;
}

/// A scanner of mail, a program that returns no cookie, somebody who is too fast, and people.
fn crowd() -> Vec<Record<'static>> {
    let from = |visitor: u8, minted_from: u128, at: u64| {
        let known = Identity { minted_from: Some(Uuid::from_u128(minted_from)), ..identity(visitor, 1, at) };
        page_view(known, at)
    };
    let mut records = Vec::new();
    for link in 0..4_u8 {
        let click = from(1 + link, 1, TEN + u64::from(link) * 900);
        let tagged = Touch { medium: Some("email".into()), ..touch(7, "newsletter") };
        records.push(hit(Hit { path: format!("/p/{link}").into(), touch: Some(tagged), ..click }));
    }
    for number in 0..22_u8 {
        records.push(hit(from(20 + number, 2, TEN + u64::from(number) * 60_000)));
    }
    for number in 0..40_u64 {
        records.push(hit(from(60, 3, TEN + number * 200)));
    }
    for number in 0..5_u64 {
        records.push(hit(from(70, 4, TEN + number * 40_000)));
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_in_a_crowd_does_not_tell_the_order_of_arrival() {
    let mut expected = None;
    for seed in 0..4 {
        let database = postgres::migrated().await;
        let client = database.connect().await;
        let mut records = crowd();
        records.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
        let mut shipper = shipper(&database);
        let mut journal = Journal::new();
        shipper.checkpoints(&[journal.id]).await.unwrap();
        let mut judge = Judge::new(
            database.store(),
            Live::new(config(&["127.0.0.1:9".parse().unwrap()])),
            CurrentExclusions::default(),
        );
        // It looks in between, too.
        for piece in records.chunks(7 + usize::try_from(seed).unwrap() * 20) {
            shipper.ship(journal.batch(piece)).await.unwrap();
            judge.look().await.unwrap();
            judge.judge_all(&CancellationToken::new()).await.unwrap();
        }
        let flags = "SELECT string_agg(behaviour_reasons || ' ' || sessions, ', ' ORDER BY behaviour_reasons)
                     FROM (SELECT behaviour_reasons, count(*) AS sessions FROM sessions GROUP BY 1) x";
        assert_eq!(value(&client, flags).await.unwrap(), "0 1, 1 1, 2 22, 4 4");
        let left = "SELECT count(*) FROM unjudged_hours";
        judge.judge_all(&CancellationToken::new()).await.unwrap();
        assert_eq!(value(&client, left).await.unwrap(), "0", "it comes to rest");
        let tables = dump(&client).await;
        assert_eq!(expected.get_or_insert_with(|| tables.clone()), &tables, "seed {seed}");
    }
}
