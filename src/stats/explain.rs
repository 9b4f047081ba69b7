//! `orders/{id}/explain`: why an order is credited as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::customer::{MOST_BROWSERS, MOST_REPORTS};
use crate::stats::AppState;
use crate::stats::answer::{Answer, rfc3339};
use crate::stats::database::{DatabaseError, Parameter, Snapshot};
use crate::stats::details::{OrderDetails, TouchDetails, Verdict, way_name};
use crate::stats::money::amount;
use crate::stats::params::{Accepts, ParameterError};
use crate::stats::problem::StatsError;
use crate::stats::scope::{Money, shop_zone};

pub(crate) const ACCEPTS: Accepts = Accepts { site: true, ..Accepts::NOTHING };

/// Touches of a visitor that are given, earliest first.
const MOST_TOUCHES: i64 = 1_000;

/// Beyond which a key of customers is shared.
const SHARED: [Parameter<'static>; 2] = [(&MOST_REPORTS, Type::INT4), (&MOST_BROWSERS, Type::INT4)];

const NO_ORDER: StatsError = StatsError::NotFound("there is no order with this id");

/// Everything that made an order what it is in the reports.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Explanation {
    order: OrderDetails,
    join: Join,
    /// How it counts in sums; null when it is in the report's currency.
    exchange: Option<Exchange>,
    /// What is thought of the session that it is a conversion of; null without one.
    session: Option<Verdict>,
    /// The ledger, by time.
    entries: Vec<Entry>,
    /// Every touch of the customer's browsers, by time, and what became of it; none when the visitor is forgotten.
    touches: Vec<JudgedTouch>,
    /// Page views of the visitor within the lookback that came from somewhere and are no touch, by time. Nothing is stored,
    /// so that nothing is told, of requests of certain robots and of whoever denies being known.
    ignored: Vec<NoTouch>,
    /// By model; the credits of a model add up to 1.
    credits: Vec<Credit>,
}

/// How the order was joined to a visitor.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Join {
    /// The rule that matched; null = joined to nobody.
    rule: Option<String>,
    explanation: &'static str,
    /// Telephones, e-mails and user ids that reports of the order name.
    customer_keys: i64,
    /// Those of them that too many orders or browsers have to be one customer's: they lead to no other browser.
    shared_keys: i64,
}

/// What an order in another currency is worth in the report's. Without a rate it is in no sum, and the rest is null.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Exchange {
    /// The report's.
    currency: Option<String>,
    /// The day of the order, in the shop's own zone.
    day: String,
    /// What one of the order's currency is worth; of one that is computed from others 12 digits after the point.
    rate: Option<String>,
    /// The day that the rate is of: the order's, else the latest of the seven before it.
    rate_day: Option<String>,
    /// The currency that both have a rate with, where they have none with each other.
    by_way_of: Option<String>,
    /// What counts of the order.
    revenue: Option<String>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Entry {
    status: &'static str,
    way: &'static str,
    reference: String,
    at: String,
    received_at: String,
    value: Option<String>,
    currency: Option<String>,
    order_number: Option<String>,
    visitor_id: Option<Uuid>,
    session_id: Option<Uuid>,
    by_cookie: bool,
    has_customer: bool,
    has_click_ids: bool,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct JudgedTouch {
    #[serde(flatten)]
    touch: TouchDetails,
    /// By what the browser is known to be the same customer's: `phone`, `email` or `user_id`; null = the browser that the order
    /// is joined to.
    known_by: Option<String>,
    /// `credited`, `considered` (another touch was chosen by the models) or `ignored`.
    verdict: &'static str,
    reason: String,
    /// Its part of the order by each model that credits it, 0 to 1.
    credits: BTreeMap<String, f64>,
    /// Its session counts as a robot's; what it is credited with is not less for it.
    is_bot: bool,
    /// A rule leaves its session out of all reports.
    is_excluded: bool,
}

/// A page view that came from somewhere and is no touch.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct NoTouch {
    at: String,
    session_id: Uuid,
    host: Option<String>,
    page: Option<String>,
    /// `payment_or_sign_in`, `own_host`, `open_session` or `tags_on_own_link`.
    why: String,
    reason: &'static str,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Credit {
    model: String,
    position: i16,
    session_id: Option<Uuid>,
    touch_at: Option<String>,
    source: String,
    medium: Option<String>,
    campaign: Option<String>,
    content: Option<String>,
    term: Option<String>,
    referrer: Option<String>,
    /// Part of the order, 0 to 1.
    credit: f64,
}

/// `GET /api/v1/orders/{id}/explain`
pub(crate) async fn explain(
    State(shared): AppState,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Answer<Explanation>, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    let site = match params.sites.as_slice() {
        [] => None,
        [site] => Some(site),
        _ => return Err(ParameterError::new("site", "an order is of one site").into()),
    };
    let id = match id {
        Ok(Path(id)) if !id.chars().any(char::is_control) => id,
        _ => return Err(NO_ORDER),
    };
    let snapshot = shared.context.database.snapshot().await?;
    let orders = snapshot
        .rows(include_str!("sql/orders_by_id.sql"), &[(&id, Type::TEXT), (&site, Type::TEXT)])
        .await?;
    let [row] = orders.as_slice() else {
        snapshot.finish().await?;
        let several = ParameterError::new("site", "several sites have an order with this id; name one");
        return Err(if orders.is_empty() { NO_ORDER } else { several.into() });
    };
    let facts = Facts::read(row).map_err(DatabaseError::from)?;
    let by_order = [(&facts.site_id as _, Type::INT4), (&id as _, Type::TEXT)];
    let entries = snapshot.rows(include_str!("sql/order_entries.sql"), &by_order).await?;
    let credits = snapshot.rows(include_str!("sql/order_credits.sql"), &by_order).await?;
    let config = shared.config();
    let money = Money::of(&params, &config, &snapshot).await?;
    let zone = shop_zone(&config);
    let exchange = [&by_order[..], &money.exchange(&zone)].concat();
    let exchange = snapshot.row(include_str!("sql/order_exchange.sql"), &exchange).await?;
    let of_keys = [&by_order[..], &SHARED].concat();
    let keys = snapshot.row(include_str!("sql/order_keys.sql"), &of_keys).await?;
    let keys = keys.ok_or(DatabaseError::Failed)?;
    let lookback = config.tracking.attribution.lookback;
    let (touches, ignored) = facts.read_touches(&snapshot, &id, lookback).await?;
    let session = match facts.session_id {
        Some(id) => snapshot.row(include_str!("sql/session.sql"), &[(&id, Type::UUID)]).await?,
        None => None,
    };
    let freshness = snapshot.conclude().await?;
    let lookback = SignedDuration::try_from(lookback).unwrap_or(SignedDuration::MAX);
    let zone = &params.zone;
    let explained = (|| {
        Ok(Explanation {
            order: match facts.is_forgotten {
                true => OrderDetails::read(row, zone)?.anonymous(),
                false => OrderDetails::read(row, zone)?,
            },
            join: Join {
                explanation: facts.join_explanation(),
                rule: facts.joined_by.clone(),
                customer_keys: keys.try_get("keys")?,
                shared_keys: keys.try_get("shared_keys")?,
            },
            exchange: exchange.as_ref().map(|row| Exchange::read(row, money.currency())).transpose()?,
            session: session.as_ref().map(Verdict::read).transpose()?,
            entries: entries
                .iter()
                .map(|entry| read_entry(entry, facts.is_forgotten, zone))
                .collect::<Result<_, _>>()?,
            touches: touches
                .iter()
                .map(|touch| facts.judge(touch, &credits, lookback, zone))
                .collect::<Result<_, _>>()?,
            ignored: ignored.iter().map(|row| read_no_touch(row, zone)).collect::<Result<_, _>>()?,
            credits: credits.iter().map(|credit| read_credit(credit, zone)).collect::<Result<_, _>>()?,
        })
    })();
    let explanation = explained.map_err(|error: tokio_postgres::Error| DatabaseError::from(error))?;
    let gone = freshness.clicks_since.filter(|since| facts.placed_at.duration_since(*since) < lookback);
    let warning = gone.map(|since| {
        let since = rfc3339(since, zone);
        format!("clicks before {since} are no longer kept: the order's credits stand as they were computed with them")
    });
    Ok(Answer::of_one(freshness, &params, explanation).with_warning(warning))
}

/// What judging needs to know of the order.
struct Facts {
    site_id: i32,
    placed_at: Timestamp,
    visitor_id: Option<Uuid>,
    session_id: Option<Uuid>,
    joined_by: Option<String>,
    is_forgotten: bool,
}

impl Facts {
    fn read(row: &Row) -> Result<Facts, tokio_postgres::Error> {
        Ok(Facts {
            site_id: row.try_get("site_id")?,
            placed_at: row.try_get("placed_at")?,
            visitor_id: row.try_get("visitor_id")?,
            session_id: row.try_get("session_id")?,
            joined_by: row.try_get("joined_by")?,
            is_forgotten: row.try_get("forgotten")?,
        })
    }

    /// All touches that may have earned the order, and what came from somewhere and is none.
    async fn read_touches(
        &self,
        snapshot: &Snapshot,
        id: &str,
        lookback: Duration,
    ) -> Result<(Vec<Row>, Vec<Row>), DatabaseError> {
        let Some(visitor_id) = self.visitor_id.filter(|_| !self.is_forgotten) else {
            return Ok((Vec::new(), Vec::new()));
        };
        let of_order = [
            (&self.site_id as _, Type::INT4),
            (&id as _, Type::TEXT),
            (&visitor_id as _, Type::UUID),
            (&MOST_TOUCHES as _, Type::INT8),
        ];
        let of_order = [&of_order[..], &SHARED].concat();
        let before = [
            (&visitor_id as _, Type::UUID),
            (&self.placed_at as _, Type::TIMESTAMPTZ),
            (&lookback.as_secs_f64() as _, Type::FLOAT8),
            (&MOST_TOUCHES as _, Type::INT8),
        ];
        let touches = snapshot.rows(include_str!("sql/order_touches.sql"), &of_order).await?;
        Ok((touches, snapshot.rows(include_str!("sql/visitor_no_touches.sql"), &before).await?))
    }

    fn join_explanation(&self) -> &'static str {
        if self.is_forgotten {
            return "erased: whoever placed the order is forgotten; what it is credited to stays";
        }
        match (self.joined_by.as_deref(), self.visitor_id) {
            (Some("cookie"), _) => "the request that placed the order carried the visitor's cookie",
            (Some("session"), _) => "the shop named the session",
            (Some("visitor"), _) => "the shop named the visitor",
            (Some("customer"), _) => "the customer is known from another visit",
            (Some("click_id"), _) => "the shop named a click id that a visitor had come with",
            (_, Some(_)) => "joined to a visitor",
            (_, None) => {
                "no report of this order names a visitor that is known: it is (not tracked), not (direct)"
            }
        }
    }

    fn judge(
        &self,
        row: &Row,
        credits: &[Row],
        lookback: SignedDuration,
        zone: &TimeZone,
    ) -> Result<JudgedTouch, tokio_postgres::Error> {
        let at: Timestamp = row.try_get("at")?;
        let session_id: Uuid = row.try_get("session_id")?;
        let evidence: i64 = row.try_get("evidence")?;
        let mut earned = BTreeMap::new();
        for credit in credits {
            if credit.try_get::<_, Option<Uuid>>("session_id")? == Some(session_id)
                && credit.try_get::<_, Option<i64>>("evidence")? == Some(evidence)
            {
                earned.insert(credit.try_get("model")?, part(credit)?);
            }
        }
        let (verdict, reason) = if !earned.is_empty() {
            let models: Vec<&str> = earned.keys().map(String::as_str).collect();
            ("credited", format!("credited by {}", models.join(", ")))
        } else if at > self.placed_at {
            ("ignored", "it came after the order was placed".to_owned())
        } else if self.placed_at.duration_since(at) > lookback {
            let days = lookback.as_hours() / 24;
            ("ignored", format!("it came earlier than the lookback of {days} days before the order"))
        } else {
            ("considered", "within the lookback, but the models credit another touch".to_owned())
        };
        Ok(JudgedTouch {
            touch: TouchDetails::read(row, zone)?,
            known_by: row.try_get("known_by")?,
            verdict,
            reason,
            credits: earned,
            is_bot: row.try_get("bot")?,
            is_excluded: row.try_get("excluded")?,
        })
    }
}

impl Exchange {
    fn read(row: &Row, currency: Option<&str>) -> Result<Exchange, tokio_postgres::Error> {
        Ok(Exchange {
            currency: currency.map(str::to_owned),
            day: row.try_get("day")?,
            rate: row.try_get("rate")?,
            rate_day: row.try_get("rate_day")?,
            by_way_of: row.try_get("by_way_of")?,
            revenue: row.try_get("revenue")?,
        })
    }
}

fn read_entry(row: &Row, is_forgotten: bool, zone: &TimeZone) -> Result<Entry, tokio_postgres::Error> {
    let currency: Option<String> = row.try_get("currency")?;
    Ok(Entry {
        status: match row.try_get::<_, i16>("kind")? {
            1 => "placed",
            2 => "paid",
            3 => "cancelled",
            4 => "refunded",
            5 => "delivered",
            _ => "unknown",
        },
        way: way_name(row.try_get("way")?),
        reference: row.try_get("reference")?,
        at: rfc3339(row.try_get("at")?, zone),
        received_at: rfc3339(row.try_get("received_at")?, zone),
        value: row.try_get::<_, Option<&str>>("value")?.map(|value| amount(value, currency.as_deref())),
        currency,
        order_number: row.try_get("order_number")?,
        visitor_id: row.try_get::<_, Option<Uuid>>("visitor_id")?.filter(|_| !is_forgotten),
        session_id: row.try_get("session_id")?,
        by_cookie: row.try_get("by_cookie")?,
        has_customer: row.try_get("has_customer")?,
        has_click_ids: row.try_get("has_click_ids")?,
    })
}

fn read_credit(row: &Row, zone: &TimeZone) -> Result<Credit, tokio_postgres::Error> {
    Ok(Credit {
        model: row.try_get("model")?,
        position: row.try_get("position")?,
        session_id: row.try_get("session_id")?,
        touch_at: row.try_get::<_, Option<Timestamp>>("touch_at")?.map(|at| rfc3339(at, zone)),
        source: row.try_get("source")?,
        medium: row.try_get("medium")?,
        campaign: row.try_get("campaign")?,
        content: row.try_get("content")?,
        term: row.try_get("term")?,
        referrer: row.try_get("referrer")?,
        credit: part(row)?,
    })
}

/// A credit as a part of 1.
fn part(row: &Row) -> Result<f64, tokio_postgres::Error> {
    Ok(f64::from(row.try_get::<_, i32>("credit")?) / 1_000_000.0)
}

fn read_no_touch(row: &Row, zone: &TimeZone) -> Result<NoTouch, tokio_postgres::Error> {
    let why: String = row.try_get("why")?;
    Ok(NoTouch {
        at: rfc3339(row.try_get("at")?, zone),
        session_id: row.try_get("session_id")?,
        host: row.try_get("host")?,
        page: row.try_get("path")?,
        reason: match why.as_str() {
            "payment_or_sign_in" => "a return from a payment or a sign-in brings nobody",
            "own_host" => "it came from another host of the shop, without tags",
            "open_session" => "a referrer alone begins no session while one is open",
            "tags_on_own_link" => "tags on a link within the shop are no campaign",
            _ => "it is no touch",
        },
        why,
    })
}
