//! What folding a batch costs: `cargo bench --bench batch`. No database.
#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]

#[allow(
    dead_code,
    clippy::cast_possible_truncation,
    reason = "made for the example; what is counted there is small"
)]
#[path = "../examples/ship_rate/mix.rs"]
mod mix;

use std::sync::Arc;

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use mix::{Mix, Window};
use utm_dispatcher::config::StoreIp;
use utm_dispatcher::journal::Position;
use utm_dispatcher::ship::dictionary::Written;
use utm_dispatcher::ship::enrich::acquisition::Acquisition;
use utm_dispatcher::ship::enrich::place::Places;
use utm_dispatcher::ship::labels::CurrentLabels;
use utm_dispatcher::ship::rows::{Enricher, Rows};
use utm_dispatcher::ship::{Batch, Located, Stretch};
use uuid::Uuid;

/// 2026-11-22T10:00:00Z
const TEN_MS: u64 = 1_795_341_600_000;
const RECORDS: usize = 10_000;

/// The program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

#[divan::bench]
fn fold_page_views(bencher: Bencher) {
    fold(bencher, Mix::default());
}

#[divan::bench]
fn fold_page_views_with_cookies_products_and_orders(bencher: Bencher) {
    fold(bencher, Mix { cookies: 2, product_views: true, orders: true });
}

/// Ten thousand records out of the midst of an hour.
fn fold(bencher: Bencher, mix: Mix) {
    let window = Window { begin_ms: TEN_MS, sessions: 50_000, mix, known: &[] };
    let records = window.hits().skip(80_000).take(RECORDS).zip(0..).map(|(record, offset)| {
        let mut payload = Vec::new();
        record.encode_into(&mut payload).unwrap();
        Located { position: Position { segment: 0, offset }, payload: Bytes::from(payload) }
    });
    let (expected, next) = (Position::default(), Position { segment: 0, offset: RECORDS as u64 });
    let batch = Batch::new(vec![Stretch {
        journal: Uuid::nil(),
        expected,
        next,
        records: records.collect(),
        damaged: Vec::new(),
    }]);
    let enricher = Enricher {
        acquisition: Acquisition::default(),
        labels: CurrentLabels::default(),
        places: Places::new(None),
        store_ip: StoreIp::Truncated,
        locale_prefixes: Vec::new(),
        points: utm_dispatcher::action::Points::default(),
        written: Written::default().into(),
    };
    bencher
        .counter(ItemsCount::new(RECORDS))
        .bench(|| Rows::fold(black_box(&batch), &enricher, Arc::default(), None));
}
