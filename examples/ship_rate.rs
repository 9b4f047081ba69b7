//! How many page views a second one shipper brings to the database that `DATABASE_URL` names (its schema is made).
//!
//! `cargo run --release --example ship_rate [page views] [records a batch]`. The mix: 4 page views a session,
//! 1.3 sessions a visitor, every third session tagged, one cookie, a product view in every fourth page view.

use std::time::{Duration, Instant};

use bytes::Bytes;
use utm_dispatcher::config::StoreIp;
use utm_dispatcher::hit::{Action, Hit, Identity, IdentityMode, Record, Touch, Way};
use utm_dispatcher::journal::Position;
use utm_dispatcher::ship::{Batch, Located, ShipSettings, Shipper, Stretch};
use utm_dispatcher::store::{Store, migrate};
use uuid::Uuid;

/// 2026-11-22T10:00:00Z
const BEGIN_MS: u64 = 1_795_341_600_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let views: u64 = arguments.next().unwrap_or_else(|| "100000".into()).parse()?;
    let portion: u64 = arguments.next().unwrap_or_else(|| "2000".into()).parse()?;
    let store = Store::new(&std::env::var("DATABASE_URL")?)?;
    migrate::migrate(&store).await?;
    let settings = ShipSettings {
        lookback: Duration::from_secs(90 * 86_400),
        store_ip: StoreIp::Truncated,
        new_values_per_day: 100_000,
        locale_prefixes: Vec::new(),
        geo_database: None,
    };
    let mut shipper = Shipper::new(store, settings);
    let journal = Uuid::now_v7();
    shipper.checkpoints(&[journal]).await?;
    let salt = journal.as_u128();
    let at = |offset| Position { segment: 0, offset };
    let mut batches = Vec::new();
    for first in (0..views).step_by(usize::try_from(portion)?) {
        let last = views.min(first + portion);
        let records: Result<Vec<_>, _> = (first..last).map(|number| record(number, salt)).collect();
        let (expected, next) = (at(first), at(last));
        batches.push(Batch::new(vec![Stretch { journal, expected, next, records: records? }]));
    }
    let begun = Instant::now();
    for batch in batches {
        shipper.ship(batch).await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{views} page views in {seconds:.2} s: {:.0} a second", views as f64 / seconds);
    Ok(())
}

fn record(number: u64, salt: u128) -> anyhow::Result<Located> {
    // Sessions of 64 visitors overlap, as they do in a shop.
    let session = number / 256 * 64 + number % 64;
    let step = number / 64 % 4;
    let visitor = session * 10 / 13;
    let mut id = (salt ^ u128::from(session)).to_be_bytes();
    let at_ms = BEGIN_MS + number;
    let hour = BEGIN_MS;
    id[..6].copy_from_slice(&hour.to_be_bytes()[2..]);
    let source = ["google", "facebook", "tiktok"][usize::try_from(session % 3)?];
    let evidence = i64::try_from(session)?;
    let touch = (step == 0 && session.is_multiple_of(3)).then(|| Touch {
        evidence,
        source: Some(source.into()),
        medium: Some("cpc".into()),
        campaign: Some(format!("campaign-{}", session % 50).into()),
        click_ids: vec![("gclid".into(), format!("EAIaIQobChMI{session:020}").into())],
        ..Touch::default()
    });
    let viewed = (number % 4 == 1).then(|| Action {
        kind: "product_view".into(),
        way: Way::Rule,
        product_id: Some((number % 200).to_string().into()),
        product_name: None,
        value: None,
        currency: None,
        order_id: None,
        order_number: None,
        properties: Vec::new(),
    });
    let hit = Hit {
        at_ms,
        site: "default".into(),
        host: "shop.example".into(),
        path: format!("/product/{}/", number % 500).into(),
        status: 200,
        page_view: true,
        identity: Some(Identity {
            mode: IdentityMode::Cookie,
            visitor_id: Uuid::from_u128(salt ^ (u128::from(visitor) << 20)),
            session_id: Uuid::from_bytes(id),
            session_number: 1,
            minted_from: None,
        }),
        touch,
        client_address: Some([203, 0, 113, 9].into()),
        user_agent: format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/{}.0.0.0 Safari/537.36",
            session % 40
        )
        .into(),
        cookies: vec![("_fbp".into(), format!("fb.1.1795341600000.{session}").into())],
        actions: viewed.into_iter().collect(),
        ..Hit::default()
    };
    let mut payload = Vec::new();
    Record::Hit(Box::new(hit)).encode_into(&mut payload)?;
    Ok(Located { position: Position { segment: 0, offset: number }, payload: Bytes::from(payload) })
}
