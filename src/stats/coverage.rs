//! `coverage`: what is in the numbers and what is not, each loss by its name: bots, exclusions, people who deny being known,
//! visits without a cookie, orders of nobody.

use std::collections::BTreeMap;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Row;

use crate::capture::bot;
use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::order_scan::{OrderChoices, scan_orders};
use crate::stats::params::{Accepts, Bots, ParameterError, Params};
use crate::stats::problem::StatsError;
use crate::stats::ratio::percent;
use crate::stats::scan::{Wanted, scan};
use crate::stats::scope::Scope;
use crate::store::columns::{self, Number};
use crate::store::order_columns::{FLAGS, flags};

pub(crate) const ACCEPTS: Accepts = Accepts { window: true, csv: true, ..Accepts::NOTHING };

/// What is in the numbers of a window, and what is not.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Coverage {
    sessions: Sessions,
    denied: Denied,
    bots: Bot,
    exclusions: Vec<Exclusion>,
    orders: Orders,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Sessions {
    /// Those that reports count.
    counted: i64,
    page_views: i64,
    /// Of the counted: known for a day only, since no cookie was set or allowed.
    without_cookie: i64,
    without_cookie_rate: Option<f64>,
    /// Visits that began where no cookie could be set, and are told as one with what followed.
    joined_landings: i64,
    /// Left out: taken for a program's.
    flagged: i64,
    /// Left out by a rule.
    excluded: i64,
}

/// People who deny being known: only counts are kept, and they are in no other number.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Denied {
    page_views: i64,
    landings: i64,
    orders: i64,
    /// Landings, the most first, at most 1,000 rows.
    sources: Vec<Landings>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Landings {
    channel: String,
    source: String,
    landings: i64,
}

/// Requests of programs, which are counted by the hour: edges of the window are whole hours.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Bot {
    hits: i64,
    /// The most hits first, at most 100 rows.
    names: Vec<BotName>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct BotName {
    bot: String,
    reasons: Vec<&'static str>,
    /// Version of the rules that found it; 0 = before versions were noted.
    rules: i16,
    hits: i64,
}

/// Rules of one kind. What they are is told to administrators, at `exclusions`.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Exclusion {
    kind: String,
    rules: i64,
    /// Requests that were not recorded, since the rules are there.
    hits: i64,
    /// Sessions of the window that are left out.
    sessions: i64,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Orders {
    #[serde(flatten)]
    totals: OrderCounts,
    /// Of the orders that the shop reported, percent that were seen as they passed.
    seen_rate: Option<f64>,
    visitor_rate: Option<f64>,
    touch_rate: Option<f64>,
    days: Vec<OrderDay>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct OrderDay {
    day: String,
    #[serde(flatten)]
    counts: OrderCounts,
}

#[derive(Debug, Default, JsonSchema, Serialize)]
pub(crate) struct OrderCounts {
    orders: i64,
    /// By an action rule or by `X-Utm-Event`.
    seen: i64,
    /// By the API or an import.
    reported: i64,
    seen_and_reported: i64,
    by_rule: i64,
    by_header: i64,
    by_import: i64,
    by_api: i64,
    /// Joined to a visitor.
    with_visitor: i64,
    /// Credited to a touch.
    with_touch: i64,
}

/// `GET /api/v1/coverage`
pub(crate) async fn coverage(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    if params.bots != Bots::Exclude {
        return Err(ParameterError::new("bots", "both are told: what is counted, and the bots").into());
    }
    let scope = Scope::of(&params).of_sites(params.window.from, params.window.to);
    let parameters = scope.parameters_of_sites();
    let snapshot = shared.context.database.snapshot().await?;
    let sessions = Sessions::of(&snapshot, &scope).await?;
    let denied = snapshot.rows(include_str!("sql/coverage_denied.sql"), &parameters).await?;
    let bots = snapshot.rows(include_str!("sql/coverage_bots.sql"), &parameters).await?;
    let exclusions = snapshot.rows(include_str!("sql/coverage_exclusions.sql"), &parameters).await?;
    let orders = Orders::of(&snapshot, &params).await?;
    let freshness = snapshot.conclude().await?;
    let read = || -> Result<Coverage, tokio_postgres::Error> {
        Ok(Coverage {
            sessions,
            denied: Denied::read(&denied)?,
            bots: Bot::read(&bots)?,
            exclusions: exclusions.iter().map(Exclusion::read).collect::<Result<_, _>>()?,
            orders,
        })
    };
    let results = read().map_err(DatabaseError::from)?;
    Ok(Answer::of_window(freshness, &params, results).in_format(&params, "coverage"))
}

impl Sessions {
    async fn of(snapshot: &Snapshot, scope: &Scope) -> Result<Sessions, DatabaseError> {
        let (mut counted, mut page_views, mut without_cookie, mut flagged) = (0, 0, 0, 0);
        let wanted =
            Wanted { numbers: &[Number::Flags, Number::PageViews], ids: &[], lists: &[], edges: &[] };
        scan(snapshot, scope, wanted, |part| {
            let (set, views) = (part.numbers(Number::Flags), part.numbers(Number::PageViews));
            for &session in part.chosen() {
                if set[session] & columns::flags::BOT != 0 {
                    flagged += 1;
                    continue;
                }
                counted += 1;
                page_views += views[session];
                without_cookie += i64::from(set[session] & columns::flags::FOR_A_DAY != 0);
            }
        })
        .await?;
        let others =
            snapshot.row(include_str!("sql/coverage_sessions.sql"), &scope.parameters_of_sites()).await?;
        let others = others.ok_or(DatabaseError::Failed)?;
        Ok(Sessions {
            counted,
            page_views,
            without_cookie,
            without_cookie_rate: percent(without_cookie, counted),
            joined_landings: others.try_get("joined_landings")?,
            flagged,
            excluded: others.try_get("excluded")?,
        })
    }
}

impl Denied {
    fn read(rows: &[Row]) -> Result<Self, tokio_postgres::Error> {
        let mut denied = Denied { page_views: 0, landings: 0, orders: 0, sources: Vec::new() };
        for row in rows {
            let landings: i64 = row.try_get("landings")?;
            denied.page_views += row.try_get::<_, i64>("page_views")?;
            denied.orders += row.try_get::<_, i64>("orders")?;
            denied.landings += landings;
            if landings > 0 {
                let (channel, source) = (row.try_get("channel")?, row.try_get("source")?);
                denied.sources.push(Landings { channel, source, landings });
            }
        }
        Ok(denied)
    }
}

impl Bot {
    fn read(rows: &[Row]) -> Result<Self, tokio_postgres::Error> {
        let hits = rows.first().map(|row| row.try_get("total")).transpose()?.unwrap_or_default();
        let names = rows.iter().map(|row| {
            Ok(BotName {
                bot: row.try_get("bot")?,
                reasons: bot::words(row.try_get::<_, i32>("reasons")?.cast_unsigned()).collect(),
                rules: row.try_get("rules")?,
                hits: row.try_get("hits")?,
            })
        });
        Ok(Bot { hits, names: names.collect::<Result<_, tokio_postgres::Error>>()? })
    }
}

impl Exclusion {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Exclusion {
            kind: row.try_get("kind")?,
            rules: row.try_get("rules")?,
            hits: row.try_get("hits")?,
            sessions: row.try_get("sessions")?,
        })
    }
}

impl Orders {
    /// Those that the shop has, whoever earned them, by local day.
    async fn of(snapshot: &Snapshot, params: &Params) -> Result<Orders, DatabaseError> {
        let scope = Scope::of(params);
        let choices = OrderChoices::of(snapshot, &scope, false, &[]).await?;
        let mut by_day = BTreeMap::<Date, OrderCounts>::new();
        let columns = [&choices.columns()[..], &[FLAGS]].concat();
        scan_orders(snapshot, choices.window(), &columns, |day| {
            for order in choices.of_day(day).chosen() {
                let local_day = params.zone.to_datetime(day.placed_at(order)).date();
                by_day.entry(local_day).or_default().add(&OrderCounts::of(day.orders.flags(order)));
            }
        })
        .await?;
        let mut totals = OrderCounts::default();
        by_day.values().for_each(|counts| totals.add(counts));
        Ok(Orders {
            seen_rate: percent(totals.seen_and_reported, totals.reported),
            visitor_rate: percent(totals.with_visitor, totals.orders),
            touch_rate: percent(totals.with_touch, totals.orders),
            totals,
            days: by_day.into_iter().map(|(day, counts)| OrderDay { day: day.to_string(), counts }).collect(),
        })
    }
}

impl OrderCounts {
    /// One order.
    fn of(flags: i64) -> OrderCounts {
        let has = |any: i64| flags & any != 0;
        let (seen, reported) =
            (has(flags::BY_RULE | flags::BY_HEADER), has(flags::BY_IMPORT | flags::BY_API));
        OrderCounts {
            orders: 1,
            seen: seen.into(),
            reported: reported.into(),
            seen_and_reported: (seen && reported).into(),
            by_rule: has(flags::BY_RULE).into(),
            by_header: has(flags::BY_HEADER).into(),
            by_import: has(flags::BY_IMPORT).into(),
            by_api: has(flags::BY_API).into(),
            with_visitor: has(flags::KNOWN).into(),
            with_touch: has(flags::CREDITED).into(),
        }
    }

    fn add(&mut self, other: &OrderCounts) {
        self.orders += other.orders;
        self.seen += other.seen;
        self.reported += other.reported;
        self.seen_and_reported += other.seen_and_reported;
        self.by_rule += other.by_rule;
        self.by_header += other.by_header;
        self.by_import += other.by_import;
        self.by_api += other.by_api;
        self.with_visitor += other.with_visitor;
        self.with_touch += other.with_touch;
    }
}
