//! Live visitors: they come from campaigns with different browsers, look around, sometimes buy, sometimes come back.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::browser::Browser;
use super::goods::PRODUCTS;
use super::scene::{Arrival, choose_address, choose_agent};

/// Pause between two arrivals, milliseconds.
const BETWEEN_ARRIVALS_MS: std::ops::Range<u64> = 1_000..6_000;
/// How long somebody looks at a page, milliseconds.
const ON_A_PAGE_MS: std::ops::Range<u64> = 1_500..9_000;
const MOST_AT_ONCE: usize = 30;
/// Browsers that may come back.
const REMEMBERED: usize = 200;
const RETURNING: f64 = 0.2;

type Known = Arc<Mutex<VecDeque<Browser>>>;

/// Sends visitors to `site` until `shutdown`.
pub(super) async fn come(site: SocketAddr, shutdown: CancellationToken) {
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let known = Known::default();
    let mut visits = JoinSet::new();
    loop {
        let pause = Duration::from_millis(rng.random_range(BETWEEN_ARRIVALS_MS));
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        while visits.try_join_next().is_some() {}
        if visits.len() < MOST_AT_ONCE {
            let visit_rng = StdRng::from_rng(&mut rng);
            visits.spawn(visit(site, known.clone(), visit_rng));
        }
    }
}

async fn visit(site: SocketAddr, known: Known, mut rng: StdRng) {
    let returning = if rng.random_bool(RETURNING) { lock(&known).pop_front() } else { None };
    let mut browser = returning
        .unwrap_or_else(|| Browser::new(site, choose_agent(&mut rng), Some(choose_address(&mut rng))));
    if let Err(problem) = look_around(&mut browser, &mut rng).await {
        debug!(%problem, "a simulated visit was cut short");
    }
    let mut known = lock(&known);
    known.push_back(browser);
    if known.len() > REMEMBERED {
        known.pop_front();
    }
}

fn lock(known: &Known) -> std::sync::MutexGuard<'_, VecDeque<Browser>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn look_around(browser: &mut Browser, rng: &mut StdRng) -> anyhow::Result<()> {
    let arrival = Arrival::choose(rng);
    let query = arrival.query(rng);
    let landing = if rng.random_bool(0.6) { "/".to_owned() } else { product_path(rng) };
    browser.arrive(&with_query(&landing, &query), arrival.referrer).await?;
    if rng.random_bool(0.4) {
        return Ok(());
    }
    for _ in 0..rng.random_range(1..5) {
        read(rng).await;
        browser.open(&product_path(rng)).await?;
    }
    // Live visitors buy more readily than those of the past: somebody is watching.
    let buys = rng.random_ratio((arrival.buyers_per_mille * 4).min(1000), 1000);
    if !buys && !rng.random_bool(0.25) {
        return Ok(());
    }
    for _ in 0..rng.random_range(1..4) {
        read(rng).await;
        let product = rng.random_range(1..=PRODUCTS.len());
        browser.submit("/cart/add", &format!("product_id={product}")).await?;
    }
    if buys || rng.random_bool(0.4) {
        read(rng).await;
        browser.open("/checkout").await?;
    }
    if buys {
        read(rng).await;
        browser.submit("/checkout", "name=A.+Customer").await?;
    }
    Ok(())
}

async fn read(rng: &mut StdRng) {
    tokio::time::sleep(Duration::from_millis(rng.random_range(ON_A_PAGE_MS))).await;
}

fn product_path(rng: &mut StdRng) -> String {
    format!("/product/{}", rng.random_range(1..=PRODUCTS.len()))
}

/// A target with a query, when there is one.
pub(super) fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}
