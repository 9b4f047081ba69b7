//! `export`: all rows of a window, as CSV or as JSON lines. They go out as the database gives them: whatever their number, a few
//! hundred are in memory. One that breaks off ends the connection, so that nobody takes a part for the whole.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{Row, RowStream};
use uuid::Uuid;

use crate::stats::answer::rfc3339;
use crate::stats::csv;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::export::{PIECES, Pieces};
use crate::stats::headings;
use crate::stats::params::{Accepts, ParameterError, Params};
use crate::stats::problem::StatsError;
use crate::stats::scope::{Money, Scope};
use crate::stats::{AppState, breakdown};

pub(crate) const ACCEPTS: Accepts =
    Accepts { own: &["type", "format", "locale", "conversion_name"], ..Accepts::MONEY };

/// Bytes that are gathered before they go out.
const CHUNK_BYTES: usize = 1 << 15;

/// How long an export may take.
const LONGEST: Duration = Duration::from_secs(900);

/// How long a reader may take for one piece.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is exported row by row, and whether its statement takes money and the name of a conversion.
const STREAMED: [(&str, &str, Takes); 6] = [
    ("sessions", include_str!("sql/export_sessions.sql"), Takes::Window),
    ("actions", include_str!("sql/export_actions.sql"), Takes::Window),
    ("touches", include_str!("sql/export_touches.sql"), Takes::Window),
    ("orders", include_str!("sql/export_orders.sql"), Takes::Money),
    ("google-offline-conversions", include_str!("sql/export_google.sql"), Takes::Name),
    ("meta-conversions", include_str!("sql/export_meta.sql"), Takes::Money),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Window,
    Money,
    Name,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Csv,
    JsonLines,
}

/// `GET /api/v1/export`
pub(crate) async fn export(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    let types: Vec<&'static str> = STREAMED
        .iter()
        .map(|(name, ..)| *name)
        .chain(breakdown::LISTS.iter().map(|(name, _)| *name))
        .collect();
    let name = params.given.choice("type", &types)?.ok_or_else(|| {
        ParameterError::new("type", format!("say what is exported, one of {}", types.join(", ")))
    })?;
    let shape = match params.given.choice("format", ACCEPTS.formats())? {
        Some("ndjson") => Shape::JsonLines,
        _ => Shape::Csv,
    };
    let locale = params.given.choice("locale", headings::LOCALES)?.unwrap_or(headings::LOCALES[0]);
    let conversion = params.given.one("conversion_name")?.unwrap_or("Purchase").to_owned();
    let mut writer = Writer { shape, locale, zone: params.zone.clone(), is_first: true, text: String::new() };
    let Some((_, sql, takes)) = STREAMED.iter().find(|(known, ..)| *known == name) else {
        let rows = breakdown::all(name, &shared, params).await?;
        rows.into_iter().for_each(|row| writer.push(row));
        return Ok(answer(name, shape, Body::from(writer.text)));
    };
    let permit = Arc::clone(&shared.exports).try_acquire_owned().map_err(|_| StatsError::ExportsBusy)?;
    let snapshot = shared.context.database.snapshot().await?;
    let rows = ask(&snapshot, &shared.config(), &params, sql, (*takes, &conversion)).await?;
    let (out, pieces) = mpsc::channel(PIECES);
    let is_whole = Arc::new(AtomicBool::new(false));
    tokio::spawn(send(Reading { snapshot, rows, _permit: permit }, writer, out, Arc::clone(&is_whole)));
    Ok(answer(name, shape, Body::new(Pieces { pieces, is_whole })))
}

/// Sends the question, for whose answer there is more time than for a report.
async fn ask(
    snapshot: &Snapshot,
    config: &crate::config::Config,
    params: &Params,
    sql: &str,
    (takes, conversion): (Takes, &String),
) -> Result<RowStream, DatabaseError> {
    let scope = Scope::of(params);
    let money = Money::of(params, config, snapshot).await?;
    let mut parameters = scope.parameters();
    if takes != Takes::Window {
        parameters.extend(money.parameters());
    }
    if takes == Takes::Name {
        parameters.push((conversion, Type::TEXT));
    }
    snapshot.allow(LONGEST).await?;
    snapshot.stream(sql, parameters).await
}

fn answer(name: &str, shape: Shape, body: Body) -> Response {
    let (content_type, ending) = match shape {
        Shape::Csv => ("text/csv; charset=utf-8", "csv"),
        Shape::JsonLines => ("application/x-ndjson", "ndjson"),
    };
    let disposition = format!("attachment; filename=\"{name}.{ending}\"");
    ([(CONTENT_TYPE, content_type.to_owned()), (CONTENT_DISPOSITION, disposition)], body).into_response()
}

/// An answer on its way.
struct Reading {
    snapshot: Snapshot,
    rows: RowStream,
    _permit: OwnedSemaphorePermit,
}

async fn send(reading: Reading, mut writer: Writer, out: mpsc::Sender<Bytes>, is_whole: Arc<AtomicBool>) {
    let Reading { snapshot, rows, _permit } = reading;
    let sent = async {
        let mut rows = pin!(rows);
        while let Some(row) = rows.next().await {
            writer.push(object(&row?, &writer.zone)?);
            if writer.text.len() >= CHUNK_BYTES {
                hand_on(&mut writer.text, &out).await?;
            }
        }
        hand_on(&mut writer.text, &out).await
    };
    match timeout(LONGEST, sent).await {
        Ok(Ok(())) => {
            is_whole.store(true, Ordering::Release);
            drop(out);
            // Only whether the connection is used again hangs on it.
            let _ = snapshot.finish().await;
        }
        Ok(Err(BrokenOff::ReaderGone)) => {}
        Ok(Err(BrokenOff::Database(error))) => tracing::warn!(%error, "an export broke off"),
        Err(_) => tracing::warn!("an export took too long and was broken off"),
    }
}

/// Why an export has no end.
enum BrokenOff {
    ReaderGone,
    Database(DatabaseError),
}

impl From<tokio_postgres::Error> for BrokenOff {
    fn from(error: tokio_postgres::Error) -> BrokenOff {
        BrokenOff::Database(error.into())
    }
}

async fn hand_on(text: &mut String, out: &mpsc::Sender<Bytes>) -> Result<(), BrokenOff> {
    let piece = Bytes::from(std::mem::take(text));
    match timeout(PATIENCE, out.send(piece)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(BrokenOff::ReaderGone),
    }
}

/// Rows as text.
struct Writer {
    shape: Shape,
    locale: &'static str,
    zone: TimeZone,
    is_first: bool,
    text: String,
}

impl Writer {
    fn push(&mut self, row: Map<String, Value>) {
        match self.shape {
            Shape::JsonLines => {
                self.text.push_str(&Value::Object(row).to_string());
                self.text.push('\n');
            }
            Shape::Csv => {
                if self.is_first {
                    self.text.push(csv::BYTE_ORDER_MARK);
                    let names = row.keys().map(|name| headings::heading(name, self.locale).to_owned());
                    csv::push_line(&mut self.text, names);
                }
                csv::push_line(&mut self.text, row.into_iter().map(|(_, value)| csv::cell(value)));
            }
        }
        self.is_first = false;
    }
}

/// A row by the names of its columns.
fn object(row: &Row, zone: &TimeZone) -> Result<Map<String, Value>, tokio_postgres::Error> {
    let mut object = Map::new();
    for (index, column) in row.columns().iter().enumerate() {
        let value = match *column.type_() {
            Type::BOOL => row.try_get::<_, Option<bool>>(index)?.into(),
            Type::INT2 => row.try_get::<_, Option<i16>>(index)?.into(),
            Type::INT4 => row.try_get::<_, Option<i32>>(index)?.into(),
            Type::INT8 => row.try_get::<_, Option<i64>>(index)?.into(),
            Type::UUID => row.try_get::<_, Option<Uuid>>(index)?.map(|id| id.to_string()).into(),
            Type::JSONB => row.try_get::<_, Option<Value>>(index)?.unwrap_or_default(),
            Type::TIMESTAMPTZ => {
                row.try_get::<_, Option<Timestamp>>(index)?.map(|at| rfc3339(at, zone)).into()
            }
            _ => row.try_get::<_, Option<String>>(index)?.into(),
        };
        object.insert(column.name().to_owned(), value);
    }
    Ok(object)
}
