//! `sessions` and `sessions/{id}`: who was here, and what they did.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::stats::AppState;
use crate::stats::answer::{Answer, ListMeta, rfc3339};
use crate::stats::csv;
use crate::stats::cursor::SessionCursor;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::details::{OrderDetails, TouchDetails, Verdict};
use crate::stats::filters::contains_pattern;
use crate::stats::money::amount;
use crate::stats::params::{Accepts, Format, Params};
use crate::stats::people::count;
use crate::stats::problem::StatsError;
use crate::stats::scan::Choices;
use crate::stats::scope::Scope;

pub(crate) const LIST: Accepts = Accepts {
    window: true,
    filters: true,
    list: Some((50, &["first_seen"])),
    search: true,
    ..Accepts::NOTHING
};

pub(crate) const ONE: Accepts = Accepts::NOTHING;

/// Counting a list's sessions stops here.
const MOST_COUNTED: u64 = 10_000;

/// Of so many hours sessions are counted first.
const HOURS_COUNTED: [i64; 3] = [8 * 24, 64 * 24, 512 * 24];

/// In so many hours a page is looked for first.
const HOURS_LOOKED_AT: [i64; 3] = [1, 24, 32 * 24];

/// The identity of sessions and visitors who are forgotten.
const FORGOTTEN: i16 = 0;

/// Actions of a session that are given.
const MOST_ACTIONS: usize = 5_000;

/// A session with everything known of it.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Session {
    session_id: Uuid,
    /// Null when the visitor is forgotten.
    visitor_id: Option<Uuid>,
    site: Option<String>,
    /// `cookie`, `cookieless`, `imported` (another system saw it) or `forgotten`.
    identity: &'static str,
    session_number: i32,
    is_first_visit: bool,
    is_returning_visitor: bool,
    first_seen: String,
    last_seen: String,
    seconds: i64,
    page_views: i32,
    actions: i32,
    score: i32,
    /// Labels as reports group by them, lower case.
    source: String,
    medium: String,
    campaign: String,
    content: String,
    term: String,
    /// As `channels` groups by it.
    channel: String,
    /// Values as seen, or inferred from a click id or the referrer.
    utm_source: Option<String>,
    utm_medium: Option<String>,
    utm_campaign: Option<String>,
    utm_content: Option<String>,
    utm_term: Option<String>,
    utm_id: Option<String>,
    parameters: Option<Value>,
    inferred_from: Option<String>,
    gclid: Option<String>,
    fbclid: Option<String>,
    ttclid: Option<String>,
    click_ids: Option<Value>,
    /// The cookie `_fbc`, or what it would be by the click.
    fbc: Option<String>,
    fbp: Option<String>,
    cookies: Option<Value>,
    ip_address: Option<String>,
    country: Option<String>,
    country_name: Option<String>,
    region: Option<String>,
    city: Option<String>,
    visitor_timezone: Option<String>,
    device_type: String,
    device_brand: Option<String>,
    device_model: Option<String>,
    os_name: Option<String>,
    os_version: Option<String>,
    browser_name: Option<String>,
    browser_version: Option<String>,
    user_agent: Option<String>,
    referrer: Option<String>,
    landing_host: Option<String>,
    landing_page: Option<String>,
    user_registered: bool,
    user_registered_at: Option<String>,
    is_converted: bool,
    converted_at: Option<String>,
    /// The strongest: `purchase`, `lead` or null.
    conversion_type: Option<&'static str>,
    orders: i32,
    /// The session that goes on with this one and is told in its place; null for most.
    continued_in: Option<Uuid>,
    /// The session without a cookie that this one began as, and has in it; null for most.
    begun_in: Option<Uuid>,
    #[serde(flatten)]
    verdict: Verdict,
}

/// Something that happened in a session.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Action {
    at: String,
    /// Since the action before; null for the first.
    seconds: Option<f64>,
    r#type: String,
    host: Option<String>,
    path: Option<String>,
    product_id: Option<String>,
    product_name: Option<String>,
    value: Option<String>,
    currency: Option<String>,
    order_id: Option<String>,
    points: i16,
    status: Option<i16>,
    properties: Option<Value>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct SessionStory {
    session: Session,
    touches: Vec<TouchDetails>,
    actions: Vec<Action>,
    orders: Vec<OrderDetails>,
}

/// How many sessions there are; null when more than are counted.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Count {
    sessions: Option<i64>,
}

/// `GET /api/v1/sessions`
pub(crate) async fn sessions(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &LIST)?;
    if params.sort.ascending {
        return Err(crate::stats::params::ParameterError::new("sort", "sessions come newest first").into());
    }
    let after = params.cursor.as_deref().map(SessionCursor::decode).transpose()?;
    let pattern = params.search.as_ref().map(|text| contains_pattern(&text.trim().to_lowercase()));
    let snapshot = shared.context.database.snapshot().await?;

    let counted = match &pattern {
        Some(pattern) => found(&snapshot, &Scope::of(&params), pattern).await?,
        None => counted(&snapshot, &params).await?,
    };
    let page = newest(&snapshot, &params, pattern.as_ref(), after).await?;
    let column = |name: &str| page.iter().map(|row| row.try_get(name)).collect::<Result<Vec<Uuid>, _>>();
    let (ids, visitors) = (
        column("session_id").map_err(DatabaseError::from)?,
        column("visitor_id").map_err(DatabaseError::from)?,
    );
    let hours = page.iter().map(|row| row.try_get("session_hour")).collect::<Result<Vec<Timestamp>, _>>();
    let hours = hours.map_err(DatabaseError::from)?;
    let of_page = [
        (&ids as _, Type::UUID_ARRAY),
        (&hours as _, Type::TIMESTAMPTZ_ARRAY),
        (&visitors as _, Type::UUID_ARRAY),
    ];
    plan_as_written(&snapshot).await?;
    let mut rows = snapshot.rows(include_str!("sql/sessions_details.sql"), &of_page).await?;
    let freshness = snapshot.conclude().await?;

    let limit = params.limit as usize;
    let next_cursor = match rows.get(limit).and(limit.checked_sub(1)).and_then(|last| rows.get(last)) {
        Some(last) => Some(cursor(last).map_err(DatabaseError::from)?.encode()),
        None => None,
    };
    rows.truncate(limit);
    let results = rows
        .iter()
        .map(|row| read_session(row, &params.zone))
        .collect::<Result<Vec<_>, _>>()
        .map_err(DatabaseError::from)?;
    if params.format == Format::Csv {
        return Ok(csv::attachment("sessions", &results));
    }
    let totals = Count { sessions: counted };
    let uncounted = totals
        .sessions
        .is_none()
        .then(|| format!("more than {MOST_COUNTED} sessions; they are not counted here"));
    let shown = i64::try_from(results.len()).unwrap_or(i64::MAX);
    let other = Count { sessions: totals.sessions.map(|sessions| sessions - shown) };
    let list = ListMeta { totals, other: Some(other), next_cursor };
    Ok(Answer::of_window(freshness, &params, results)
        .with_list(&params, list)
        .with_warning(uncounted)
        .into_response())
}

/// In how many sessions a pattern is found; none when these are more than are counted.
async fn found(snapshot: &Snapshot, scope: &Scope, pattern: &str) -> Result<Option<i64>, DatabaseError> {
    let most = MOST_COUNTED.cast_signed();
    let stop = most + 1;
    let mut parameters = scope.parameters();
    parameters.push((&pattern, Type::TEXT));
    parameters.push((&stop, Type::INT8));
    let row = snapshot.row(include_str!("sql/sessions_count.sql"), &parameters).await?;
    let sessions: Option<i64> = row.map(|row| row.try_get("sessions")).transpose()?;
    Ok(sessions.filter(|sessions| *sessions <= most))
}

/// How many sessions there are. Mostly the last days have more than are counted: they are looked at first, a part after the other.
async fn counted(snapshot: &Snapshot, params: &Params) -> Result<Option<i64>, DatabaseError> {
    let scope = Scope::of(params);
    let choices = Choices::of(snapshot, &scope).await?;
    let (mut late, mut to) = (0, params.window.to);
    for from in since(params, params.now, &HOURS_COUNTED) {
        late += count(snapshot, &scope.between(from, to), &choices, MOST_COUNTED - late).await?;
        if late > MOST_COUNTED {
            return Ok(None);
        }
        to = from;
    }
    let sessions = count(snapshot, &scope, &choices, MOST_COUNTED).await?;
    Ok(i64::try_from(sessions).ok().filter(|_| sessions <= MOST_COUNTED))
}

/// The sessions of a page. They are looked for among the newest first, further and further back: few pages need the whole window.
/// (One that began more than two days after its hour is not found so, as in any window that begins between the two.)
async fn newest(
    snapshot: &Snapshot,
    params: &Params,
    pattern: Option<&String>,
    after: Option<SessionCursor>,
) -> Result<Vec<Row>, DatabaseError> {
    let (after_time, after_id) = (after.map(|after| after.started_at), after.map(|after| after.session_id));
    let one_more = i64::from(params.limit) + 1;
    let scope = Scope::of(params);
    let end = after_time.map_or(params.now, |time| time.min(params.now));
    let late = since(params, end, &HOURS_LOOKED_AT).map(|from| scope.between(from, params.window.to));
    let mut page = Vec::new();
    for part in late.chain([scope.clone()]) {
        let mut parameters = part.parameters();
        parameters.push((&pattern, Type::TEXT));
        parameters.push((&after_time, Type::TIMESTAMPTZ));
        parameters.push((&after_id, Type::UUID));
        parameters.push((&one_more, Type::INT8));
        page = snapshot.rows(include_str!("sql/sessions.sql"), &parameters).await?;
        if page.len() > params.limit as usize {
            break;
        }
    }
    Ok(page)
}

/// Has the statements that follow planned as they are written: first what they are about, then the names of what is known of it, each
/// looked up.
async fn plan_as_written(snapshot: &Snapshot) -> Result<(), DatabaseError> {
    snapshot.rows(include_str!("sql/page_settings.sql"), &[]).await?;
    Ok(())
}

/// So many hours before an end, or the end of the window: those that the window has.
fn since(params: &Params, end: Timestamp, hours: &[i64]) -> impl Iterator<Item = Timestamp> {
    let (from, last) = (params.window.from, end.min(params.window.to));
    let times =
        hours.iter().filter_map(move |hours| last.checked_sub(SignedDuration::from_hours(*hours)).ok());
    times.filter(move |time| from.is_none_or(|from| from < *time))
}

/// `GET /api/v1/sessions/{id}`
pub(crate) async fn session(
    State(shared): AppState,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    const NO_SESSION: StatsError = StatsError::NotFound("there is no session with this id");
    let params = shared.params(query.as_deref(), &ONE)?;
    let Some(id) = id.ok().and_then(|Path(id)| Uuid::parse_str(&id).ok()) else { return Err(NO_SESSION) };
    let snapshot = shared.context.database.snapshot().await?;
    plan_as_written(&snapshot).await?;
    let by_id = [(&id as _, Type::UUID)];
    let Some(row) = snapshot.row(include_str!("sql/session.sql"), &by_id).await? else {
        snapshot.finish().await?;
        return Err(NO_SESSION);
    };
    let visitor_id: Uuid = row.try_get("visitor_id").map_err(DatabaseError::from)?;
    let begun_in: Option<Uuid> = row.try_get("begun_in").map_err(DatabaseError::from)?;
    let is_forgotten = row.try_get::<_, i16>("identity").map_err(DatabaseError::from)? == FORGOTTEN;
    let touches = if is_forgotten {
        Vec::new()
    } else {
        let of_touches =
            [(&id as _, Type::UUID), (&visitor_id as _, Type::UUID), (&begun_in as _, Type::UUID)];
        snapshot.rows(include_str!("sql/session_touches.sql"), &of_touches).await?
    };
    let one_more = i64::try_from(MOST_ACTIONS + 1).unwrap_or(i64::MAX);
    let of_actions = [(&id as _, Type::UUID), (&one_more as _, Type::INT8), (&begun_in as _, Type::UUID)];
    let actions = snapshot.rows(include_str!("sql/session_actions.sql"), &of_actions).await?;
    let orders = snapshot.rows(include_str!("sql/session_orders.sql"), &by_id).await?;
    let freshness = snapshot.conclude().await?;
    let cut = (actions.len() > MOST_ACTIONS)
        .then(|| format!("the session has more than {MOST_ACTIONS} actions; the first of them are given"));
    let begun: Timestamp = row.try_get("session_hour").map_err(DatabaseError::from)?;
    let gone = freshness.clicks_since.filter(|since| begun < *since).map(|since| {
        format!("clicks and actions before {} are no longer kept", rfc3339(since, &params.zone))
    });
    let story = read_story(&row, &touches, &actions, &orders, is_forgotten, &params.zone)
        .map_err(DatabaseError::from)?;
    Ok(Answer::<_, ()>::of_one(freshness, &params, story)
        .with_warning(cut)
        .with_warning(gone)
        .into_response())
}

fn read_story(
    session: &Row,
    touches: &[Row],
    actions: &[Row],
    orders: &[Row],
    is_forgotten: bool,
    zone: &TimeZone,
) -> Result<SessionStory, tokio_postgres::Error> {
    Ok(SessionStory {
        session: read_session(session, zone)?,
        touches: touches.iter().map(|row| TouchDetails::read(row, zone)).collect::<Result<_, _>>()?,
        actions: actions
            .iter()
            .take(MOST_ACTIONS)
            .map(|row| read_action(row, zone))
            .collect::<Result<_, _>>()?,
        orders: orders
            .iter()
            .map(|row| {
                let order = OrderDetails::read(row, zone)?;
                Ok(if is_forgotten { order.anonymous() } else { order })
            })
            .collect::<Result<_, tokio_postgres::Error>>()?,
    })
}

fn cursor(row: &Row) -> Result<SessionCursor, tokio_postgres::Error> {
    Ok(SessionCursor { started_at: row.try_get("first_seen")?, session_id: row.try_get("session_id")? })
}

/// A text that is there: of what was not to be kept there is a name alone.
fn text_in(object: &Option<Value>, name: &str) -> Option<String> {
    Some(object.as_ref()?.get(name)?.as_str().filter(|value| !value.is_empty())?.to_owned())
}

fn read_session(row: &Row, zone: &TimeZone) -> Result<Session, tokio_postgres::Error> {
    let time = |column: &str| -> Result<Option<String>, tokio_postgres::Error> {
        Ok(row.try_get::<_, Option<Timestamp>>(column)?.map(|time| rfc3339(time, zone)))
    };
    let first_seen: Timestamp = row.try_get("began_at")?;
    let last_seen: Timestamp = row.try_get("last_seen")?;
    let click_ids: Option<Value> = row.try_get("click_ids")?;
    let cookies: Option<Value> = row.try_get("cookies")?;
    let fbclid = text_in(&click_ids, "fbclid");
    let touch_at: Option<Timestamp> = row.try_get("touch_at")?;
    let orders: i32 = row.try_get("order_count")?;
    let lead_at = time("lead_at")?;
    let session_number: i32 = row.try_get("session_number")?;
    let identity: i16 = row.try_get("identity")?;
    let user_registered_at = time("registration_at")?;
    Ok(Session {
        session_id: row.try_get("session_id")?,
        visitor_id: (identity != FORGOTTEN).then(|| row.try_get("visitor_id")).transpose()?,
        site: row.try_get("site")?,
        identity: identity_name(identity),
        session_number,
        is_first_visit: session_number <= 1,
        is_returning_visitor: session_number > 1,
        first_seen: rfc3339(first_seen, zone),
        last_seen: rfc3339(last_seen, zone),
        seconds: last_seen.as_second() - first_seen.as_second(),
        page_views: row.try_get("page_views")?,
        actions: row.try_get("actions")?,
        score: row.try_get("score")?,
        source: row.try_get("source")?,
        medium: row.try_get("medium")?,
        campaign: row.try_get("campaign")?,
        content: row.try_get("content")?,
        term: row.try_get("term")?,
        channel: row.try_get("channel")?,
        utm_source: row.try_get("utm_source")?,
        utm_medium: row.try_get("utm_medium")?,
        utm_campaign: row.try_get("utm_campaign")?,
        utm_content: row.try_get("utm_content")?,
        utm_term: row.try_get("utm_term")?,
        utm_id: row.try_get("utm_id")?,
        parameters: row.try_get("parameters")?,
        inferred_from: row.try_get("inferred")?,
        gclid: text_in(&click_ids, "gclid"),
        fbclid: fbclid.clone(),
        ttclid: text_in(&click_ids, "ttclid"),
        click_ids,
        fbc: text_in(&cookies, "_fbc").or_else(|| Some(fbc_of_click(touch_at?, fbclid.as_deref()?))),
        fbp: text_in(&cookies, "_fbp"),
        cookies,
        ip_address: row.try_get("ip_address")?,
        country: row.try_get("country")?,
        country_name: row.try_get("country_name")?,
        region: row.try_get("region")?,
        city: row.try_get("city")?,
        visitor_timezone: row.try_get("timezone")?,
        device_type: row.try_get("device_type")?,
        device_brand: row.try_get("device_brand")?,
        device_model: row.try_get("device_model")?,
        os_name: row.try_get("os_name")?,
        os_version: row.try_get("os_version")?,
        browser_name: row.try_get("browser_name")?,
        browser_version: row.try_get("browser_version")?,
        user_agent: row.try_get("user_agent")?,
        referrer: row.try_get("referrer")?,
        landing_host: row.try_get("landing_host")?,
        landing_page: row.try_get("landing_page")?,
        user_registered: user_registered_at.is_some(),
        user_registered_at,
        is_converted: orders > 0,
        converted_at: time("converted_at")?,
        conversion_type: match (orders > 0, lead_at) {
            (true, _) => Some("purchase"),
            (false, Some(_)) => Some("lead"),
            (false, None) => None,
        },
        orders,
        continued_in: row.try_get("continued_in")?,
        begun_in: row.try_get("begun_in")?,
        verdict: Verdict::read(row)?,
    })
}

fn identity_name(identity: i16) -> &'static str {
    match identity {
        FORGOTTEN => "forgotten",
        1 => "cookie",
        3 => "imported",
        _ => "cookieless",
    }
}

/// What Meta's pixel would have set, had it run: version, subdomain index, milliseconds of the click, its id.
fn fbc_of_click(at: Timestamp, fbclid: &str) -> String {
    format!("fb.1.{}.{fbclid}", at.as_millisecond())
}

fn read_action(row: &Row, zone: &TimeZone) -> Result<Action, tokio_postgres::Error> {
    let currency: Option<String> = row.try_get("currency")?;
    Ok(Action {
        at: rfc3339(row.try_get("at")?, zone),
        seconds: row.try_get("seconds")?,
        r#type: row.try_get("type")?,
        host: row.try_get("host")?,
        path: row.try_get("path")?,
        product_id: row.try_get("product_id")?,
        product_name: row.try_get("product_name")?,
        value: row.try_get::<_, Option<&str>>("value")?.map(|value| amount(value, currency.as_deref())),
        currency,
        order_id: row.try_get("order_id")?,
        points: row.try_get("points")?,
        status: row.try_get("status")?,
        properties: row.try_get("properties")?,
    })
}
