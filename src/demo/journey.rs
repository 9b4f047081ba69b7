//! One visitor's journey, from an advertisement to an order, through the real proxy, and what the statistics then say.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::time::Instant;

use super::browser::{Browser, get_json};
use super::goods::{find, money};
use super::scene::TELEPHONE;

const CAMPAIGN: &str = "smoke_test";
const LANDING: &str = "/?utm_source=facebook&utm_medium=paid_social&utm_campaign=smoke_test&utm_content=first_ad\
                       &fbclid=IwAR0smoke";
/// A page view is in the reports within 2 seconds; a loaded machine gets more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes the journey, prints what it led to, and fails when that is not one session and one order of its campaign.
#[allow(clippy::print_stdout, reason = "what a person at the terminal reads")]
pub(super) async fn smoke(proxy: SocketAddr, stats: SocketAddr) -> anyhow::Result<()> {
    let bought = [1, 7];
    let value = money(bought.iter().filter_map(|id| find(*id)).map(|product| product.price).sum());
    println!("journey   http://{proxy}{LANDING}");
    let order = order(proxy, &bought).await?;
    println!("order     {order}, {value} UAH, placed");

    let deadline = Instant::now() + PATIENCE;
    let (session, campaign) = loop {
        match reports(stats, &value).await {
            Ok(found) => break found,
            Err(problem) if Instant::now() > deadline => return Err(problem),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    println!(
        "session   {}",
        line(&session, &["session_id", "source", "medium", "campaign", "device_type", "page_views"])
    );
    println!(
        "campaign  {}",
        line(&campaign, &["campaign", "source", "medium", "sessions", "orders", "revenue"])
    );
    println!("well: one session, one order, credited to its campaign");
    Ok(())
}

/// Tagged landing → products → cart → checkout → order; the order's id.
async fn order(proxy: SocketAddr, products: &[u32]) -> anyhow::Result<String> {
    let mut browser = Browser::new(proxy, TELEPHONE, None);
    let landed = browser.arrive(LANDING, Some("https://m.facebook.com/")).await?;
    ensure!(landed.status.is_success(), "the landing page answered {}", landed.status);
    for id in products {
        browser.open(&format!("/product/{id}")).await?;
        let cart = browser.submit("/cart/add", &format!("product_id={id}")).await?;
        ensure!(cart.path == "/cart" && cart.status.is_success(), "adding to the cart led to {cart:?}");
    }
    browser.open("/checkout").await?;
    let thanks = browser.submit("/checkout", "name=A.+Customer").await?;
    ensure!(thanks.status.is_success(), "the checkout led to {thanks:?}");
    thanks
        .path
        .strip_prefix("/thank-you/")
        .map(str::to_owned)
        .with_context(|| format!("no order: {thanks:?}"))
}

/// The session and its campaign, once both are as they have to be.
async fn reports(stats: SocketAddr, value: &str) -> anyhow::Result<(Value, Value)> {
    let session = only_row(get_json(stats, "/api/v1/sessions?period=week").await?, "sessions")?;
    expect(&session, "source", "facebook")?;
    expect(&session, "campaign", CAMPAIGN)?;
    expect(&session, "device_type", "mobile")?;
    let campaign = only_row(get_json(stats, "/api/v1/campaigns?period=week").await?, "campaigns")?;
    expect(&campaign, "campaign", CAMPAIGN)?;
    expect(&campaign, "source", "facebook")?;
    expect(&campaign, "sessions", "1")?;
    expect(&campaign, "orders", "1")?;
    expect(&campaign, "revenue", value)?;
    Ok((session, campaign))
}

fn only_row(mut answer: Value, report: &str) -> anyhow::Result<Value> {
    match answer.get_mut("results").and_then(Value::as_array_mut).map(std::mem::take).as_deref_mut() {
        Some([row]) => Ok(row.take()),
        Some(rows) => bail!("{report} has {} rows instead of one", rows.len()),
        None => bail!("{report} has no results"),
    }
}

fn expect(row: &Value, field: &str, wanted: &str) -> anyhow::Result<()> {
    let found = text_of(row, field);
    ensure!(found == wanted, "{field} is {found} instead of {wanted}, in {row}");
    Ok(())
}

fn text_of(row: &Value, field: &str) -> String {
    match &row[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn line(row: &Value, fields: &[&str]) -> String {
    let pairs: Vec<String> = fields.iter().map(|field| format!("{field}={}", text_of(row, field))).collect();
    pairs.join("  ")
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::demo::shop;

    #[tokio::test]
    async fn the_sample_shop_takes_orders_also_without_a_proxy() {
        let shop = shop::open(1042, CancellationToken::new()).await.unwrap();
        assert_eq!(order(shop, &[3]).await.unwrap(), "1042");
        assert_eq!(order(shop, &[1, 2, 1]).await.unwrap(), "1043");
    }
}
