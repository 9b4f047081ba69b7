//! Rows as the shipper leaves them, written by hand.

use std::fmt::Debug;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::harness::postgres::{Database, migrated};

/// A migrated database and a connection to it.
pub struct Seed {
    pub database: Database,
    pub client: Client,
}

/// Source, medium, campaign.
pub type Tags = (&'static str, &'static str, &'static str);

/// A session.
#[derive(Debug, Clone)]
pub struct Visit {
    pub site: &'static str,
    pub at: Timestamp,
    /// Its hour, where that is not the one of `at`: the day's first without a cookie, an earlier one when hits were lost.
    pub hour: Option<Timestamp>,
    pub seconds: i64,
    pub visitor: u128,
    pub number: i32,
    pub tags: Option<Tags>,
    pub page_views: i32,
    pub actions: i32,
    pub score: i32,
    pub order_count: i32,
    pub order_points: i32,
    pub lead: bool,
    pub registered: bool,
    pub bot_score: i16,
    pub device: &'static str,
    pub country: &'static str,
}

/// An order as computed.
#[derive(Debug, Clone)]
pub struct Order {
    pub site: &'static str,
    pub id: String,
    pub at: Timestamp,
    pub visitor: Option<u128>,
    pub session: Option<Uuid>,
    pub gross: Option<&'static str>,
    pub net: Option<&'static str>,
    pub paid: &'static str,
    pub refunded: &'static str,
    pub currency: Option<&'static str>,
    /// Tags (none = direct) and millionths.
    pub credits: Vec<(Option<Tags>, i32)>,
}

impl Default for Visit {
    fn default() -> Visit {
        Visit {
            site: "default",
            at: "2026-11-10T10:00:00Z".parse().unwrap(),
            hour: None,
            seconds: 60,
            visitor: 1,
            number: 1,
            tags: None,
            page_views: 2,
            actions: 0,
            score: 2,
            order_count: 0,
            order_points: 0,
            lead: false,
            registered: false,
            bot_score: 0,
            device: "desktop",
            country: "UA",
        }
    }
}

impl Default for Order {
    fn default() -> Order {
        Order {
            site: "default",
            id: "1042".into(),
            at: "2026-11-10T10:30:00Z".parse().unwrap(),
            visitor: None,
            session: None,
            gross: None,
            net: None,
            paid: "0",
            refunded: "0",
            currency: Some("UAH"),
            credits: Vec::new(),
        }
    }
}

impl Seed {
    /// A database with the schema and one partition for all times.
    pub async fn new() -> Seed {
        let Seed { database, client } = Seed::by_month().await;
        for table in ["sessions", "session_cookies", "touches", "events", "product_views"] {
            let statement = format!("CREATE TABLE {table}_all PARTITION OF {table} DEFAULT");
            client.batch_execute(&statement).await.unwrap();
        }
        Seed { database, client }
    }

    /// A database with the schema, whose partitions are still to be made.
    pub async fn by_month() -> Seed {
        let database = migrated().await;
        let client = database.connect().await;
        Seed { database, client }
    }

    /// Writes a session and its touch; returns its id.
    pub async fn visit(&self, visit: &Visit) -> Uuid {
        let visitor_id = Uuid::from_u128(visit.visitor);
        let hour = visit.hour.unwrap_or_else(|| begin_of(visit.at, 3_600));
        let session_id = session_id(hour, hash(&(visit.at, visit.visitor)), hash(&visit.visitor));
        let last_seen = visit.at + SignedDuration::from_secs(visit.seconds);
        let agent = hash(visit.device) as i64;
        let place = hash(visit.country) as i64;
        let site_id = self.site(visit.site).await;
        let evidence = visit.tags.map(|tags| hash(&tags) as i64);
        let touch_at = visit.tags.map(|_| visit.at);
        let campaign_id = self.campaign(visit.tags).await;
        let lead_at = visit.lead.then_some(last_seen);
        let registered_at = visit.registered.then_some(last_seen);
        self.client
            .execute(
                "WITH agent AS (INSERT INTO agents (agent_id, user_agent, device_type) VALUES ($6, $18, $18)
                                ON CONFLICT DO NOTHING),
                      place AS (INSERT INTO places (place_id, country) VALUES ($7, $19) ON CONFLICT DO NOTHING)
                 INSERT INTO sessions (session_id, visitor_id, session_hour, started_at, last_seen, agent_id, place_id,
                     site_id, touch_at, touch_evidence, campaign_id, session_number, page_views, actions, score,
                     bot_score, lead_at, registration_at, order_count, order_points,
                     entry_at, entry_hash, landing_page_id, bot_reasons, identity, entry_rank)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $20, $21, $22,
                     $4, 0, 7, 0, 1, 0)",
                &[
                    &session_id, &visitor_id, &hour, &visit.at, &last_seen, &agent, &place, &site_id, &touch_at,
                    &evidence, &campaign_id, &visit.number, &visit.page_views, &visit.actions, &visit.score,
                    &visit.bot_score, &lead_at, &visit.device, &visit.country, &registered_at, &visit.order_count,
                    &visit.order_points,
                ],
            )
            .await
            .unwrap();
        if let (Some(evidence), Some(campaign_id)) = (evidence, campaign_id) {
            self.client
                .execute(
                    "INSERT INTO touches (session_id, visitor_id, session_hour, evidence, at, hash, campaign_id, page_id,
                         site_id, flags, status, click_ids)
                     VALUES ($1, $2, $3, $4, $5, 0, $6, 7, $7, 0, 200, '{\"fbclid\": \"IwAR2-AbC\"}')",
                    &[&session_id, &visitor_id, &hour, &evidence, &visit.at, &campaign_id, &site_id],
                )
                .await
                .unwrap();
        }
        session_id
    }

    /// Writes an order and its credits.
    pub async fn order(&self, order: &Order) {
        let site_id = self.site(order.site).await;
        let visitor = order.visitor.map(Uuid::from_u128);
        let joined_by = visitor.map(|_| "cookie");
        self.client
            .execute(
                "INSERT INTO orders (site_id, order_id, placed_at, placed_way, currency, gross, paid, cancelled,
                     refunded, net, visitor_id, session_id, joined_by, points)
                 VALUES ($1, $2, $3, 4, $4, $5::text::numeric, $6::text::numeric, 0, $7::text::numeric,
                     $8::text::numeric, $9, $10, $11, 100)",
                &[
                    &site_id, &order.id, &order.at, &order.currency, &order.gross, &order.paid, &order.refunded,
                    &order.net, &visitor, &order.session, &joined_by,
                ],
            )
            .await
            .unwrap();
        for (position, (tags, credit)) in (1_i16..).zip(&order.credits) {
            let campaign_id = self.campaign(*tags).await;
            let evidence = tags.map(|tags| hash(&tags) as i64);
            self.client
                .execute(
                    "INSERT INTO order_credits (site_id, order_id, model, position, session_id, evidence, touch_at,
                         campaign_id, credit)
                     VALUES ($1, $2, 'last_non_direct', $3, $4, $5, $6, $7, $8)",
                    &[
                        &site_id, &order.id, &position, &order.session, &evidence, &order.at, &campaign_id, credit,
                    ],
                )
                .await
                .unwrap();
        }
    }

    /// Writes an action of a session; `product` is the shop's id of it.
    pub async fn action(
        &self,
        session: Uuid,
        visitor: u128,
        at: Timestamp,
        kind: &str,
        product: Option<&str>,
    ) {
        let (site_id, kind_id) = (self.site("default").await, (hash(kind) >> 33) as i32);
        self.client
            .execute("INSERT INTO action_kinds VALUES ($1, $2) ON CONFLICT DO NOTHING", &[&kind_id, &kind])
            .await
            .unwrap();
        let key = product.map(|id| hash(&("product", id)) as i64);
        if let (Some(key), Some(id)) = (key, product) {
            let name = format!("Product {id}");
            self.client
                .execute(
                    "INSERT INTO products (product_key, site_id, product_id, name) VALUES ($1, $2, $3, $4)
                     ON CONFLICT DO NOTHING",
                    &[&key, &site_id, &id, &name],
                )
                .await
                .unwrap();
        }
        self.client
            .execute(
                "INSERT INTO events (session_id, visitor_id, at, product_key, site_id, kind_id, points)
                 VALUES ($1, $2, $3, $4, $5, $6, 0)",
                &[&session, &Uuid::from_u128(visitor), &at, &key, &site_id, &kind_id],
            )
            .await
            .unwrap();
        // As a session has it: the first time of each step of the usual funnel.
        self.client
            .execute(
                "UPDATE sessions
                 SET product_view_at = CASE $2 WHEN 'product_view' THEN least(product_view_at, $3) ELSE product_view_at END,
                     add_to_cart_at = CASE $2 WHEN 'add_to_cart' THEN least(add_to_cart_at, $3) ELSE add_to_cart_at END,
                     initiate_checkout_at = CASE $2 WHEN 'initiate_checkout' THEN least(initiate_checkout_at, $3)
                                                    ELSE initiate_checkout_at END,
                     lead_at = CASE $2 WHEN 'lead' THEN least(lead_at, $3) ELSE lead_at END,
                     purchase_at = CASE $2 WHEN 'purchase' THEN least(purchase_at, $3) ELSE purchase_at END
                 WHERE session_id = $1",
                &[&session, &kind, &at],
            )
            .await
            .unwrap();
    }

    /// Writes what was reported of an order: its positions, and by which phone and e-mail it was placed.
    pub async fn entry(
        &self,
        order: &str,
        at: Timestamp,
        items: Option<Value>,
        phone: Option<&str>,
        email: Option<&str>,
    ) {
        let site_id = self.site("default").await;
        let [phone, email] = [phone, email].map(|text| text.map(str::as_bytes));
        self.client
            .execute(
                "INSERT INTO order_entries (site_id, order_id, kind, reference, way, at, received_at, hash, by_cookie, items,
                     phone, email)
                 VALUES ($1, $2, 1, '', 4, $3, $3, 0, false, $4, $5, $6)",
                &[&site_id, &order, &at, &items, &phone, &email],
            )
            .await
            .unwrap();
    }

    async fn site(&self, name: &str) -> i32 {
        let site_id = (hash(name) >> 33) as i32;
        self.client
            .execute("INSERT INTO sites VALUES ($1, $2) ON CONFLICT DO NOTHING", &[&site_id, &name])
            .await
            .unwrap();
        site_id
    }

    async fn campaign(&self, tags: Option<Tags>) -> Option<i64> {
        let (source, medium, campaign) = tags?;
        let campaign_id = hash(&(source, medium, campaign)) as i64;
        let given = |text: &'static str| (!text.is_empty()).then_some(text);
        self.client
            .execute(
                "INSERT INTO campaigns (campaign_id, site_id, source, medium, campaign)
                 VALUES ($1, 0, $2, $3, $4) ON CONFLICT DO NOTHING",
                &[&campaign_id, &given(source), &given(medium), &given(campaign)],
            )
            .await
            .unwrap();
        Some(campaign_id)
    }
}

/// The beginning of the hour, or of another span of so many seconds, that an instant is in.
pub fn begin_of(at: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(at.as_second() / seconds * seconds).unwrap()
}

/// An id that begins with the hour in milliseconds, as all have it.
fn session_id(hour: Timestamp, some: u64, more: u64) -> Uuid {
    let milliseconds = u64::try_from(hour.as_millisecond()).unwrap();
    Uuid::from_u64_pair(milliseconds << 16 | some >> 48, more)
}

/// The same in every run and with every compiler, since snapshots show it.
fn hash(value: &(impl Debug + ?Sized)) -> u64 {
    let digest = Sha256::digest(format!("{value:?}"));
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
