//! `export`: all rows of a window, as CSV or as JSON lines. They go out as the database gives them: whatever their number, a few
//! hundred are in memory, and 16 bytes of each order that platforms are told of. What sessions have is read a part of the window
//! after the other (`parts.rs`), what platforms are told of orders some orders after the others (`told_orders.rs`), in one snapshot.
//! An export that breaks off ends the connection, so that nobody takes a part for the whole.

use std::fmt::Write;
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
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Column, Row, RowStream};
use uuid::Uuid;

use crate::stats::csv;
use crate::stats::database::{DatabaseError, Parameter, Snapshot};
use crate::stats::export::{PIECES, Pieces};
use crate::stats::money::amount;
use crate::stats::params::{Accepts, ParameterError, Params};
use crate::stats::parts::Parts;
use crate::stats::period::Window;
use crate::stats::problem::StatsError;
use crate::stats::scope::{Money, Scope};
use crate::stats::told_orders::{self, ToldOrders};
use crate::stats::{AppState, breakdown};
use crate::terms::{self, Locale};

pub(crate) const ACCEPTS: Accepts =
    Accepts { own: &["type", "format", "locale", "conversion_name"], ..Accepts::MONEY };

/// Bytes that are gathered before they go out.
const CHUNK_BYTES: usize = 1 << 15;

/// How long an export may take.
const LONGEST: Duration = Duration::from_secs(900);

/// How long a reader may take for one piece.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is exported row by row, and what its statement takes.
const STREAMED: [(&str, &str, Takes); 6] = [
    ("sessions", include_str!("sql/export_sessions.sql"), Takes::Window),
    ("actions", include_str!("sql/export_actions.sql"), Takes::Window),
    ("touches", include_str!("sql/export_touches.sql"), Takes::Window),
    ("orders", include_str!("sql/export_orders.sql"), Takes::Money),
    ("google-offline-conversions", include_str!("sql/export_google.sql"), Takes::NamedOrders),
    ("meta-conversions", include_str!("sql/export_meta.sql"), Takes::Orders),
];

/// Columns with money in the currency of the row, which the database has with as many digits as somebody told.
const MONEY: [&str; 7] = ["gross", "paid", "cancelled", "refunded", "net", "value", "Conversion Value"];

/// Columns that say which that is.
const CURRENCY: [&str; 2] = ["currency", "Conversion Currency"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// A part of the window after the other, and filters.
    Window,
    /// The window, filters and money.
    Money,
    /// Some orders after the others.
    Orders,
    /// And what they are called.
    NamedOrders,
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
    let locale = params.given.choice("locale", terms::LOCALES)?.and_then(Locale::of).unwrap_or_default();
    // What platforms read has the names that they know.
    let locale = if name.ends_with("-conversions") { Locale::default() } else { locale };
    let conversion = params.given.one("conversion_name")?.unwrap_or("Purchase").to_owned();
    let mut writer = Writer::new(shape, locale, params.zone.clone());
    let Some((_, sql, takes)) = STREAMED.iter().find(|(known, ..)| *known == name) else {
        let rows = breakdown::all(name, &shared, params).await?;
        rows.iter().for_each(|row| writer.push_object(row));
        return Ok(answer(name, shape, Body::from(writer.text)));
    };
    let permit = Arc::clone(&shared.exports).try_acquire_owned().map_err(|_| StatsError::ExportsBusy)?;
    let mut snapshot = shared.context.database.snapshot().await?;
    snapshot.allow(LONGEST).await?;
    let money = Money::of(&params, &shared.config(), &snapshot).await?;
    let mut portions = Portions::of(*takes, &snapshot, &params, &money).await?;
    writer.shops = money.currency().map(str::to_owned);
    let question = Question { sql, takes: *takes, params, money, conversion };
    let rows = match portions.next(None) {
        Some(first) => Some(question.ask(&snapshot, &first).await?),
        None => None,
    };
    let (out, pieces) = mpsc::channel(PIECES);
    let is_whole = Arc::new(AtomicBool::new(false));
    let reading = Reading { snapshot, question, portions, rows, permit };
    tokio::spawn(send(reading, writer, out, Arc::clone(&is_whole)));
    Ok(answer(name, shape, Body::new(Pieces { pieces, is_whole })))
}

/// What is asked about, one after the other.
enum Portions {
    Window(Parts),
    Orders(ToldOrders),
}

enum Portion {
    Window(Window),
    Orders(told_orders::Portion),
}

impl Portions {
    async fn of(
        takes: Takes,
        snapshot: &Snapshot,
        params: &Params,
        money: &Money,
    ) -> Result<Portions, DatabaseError> {
        Ok(match takes {
            Takes::Window => {
                snapshot.rows(include_str!("sql/export_settings.sql"), &[]).await?;
                let first = snapshot.row(include_str!("sql/first_session.sql"), &[]).await?;
                Portions::Window(match first {
                    Some(first) => Parts::since(first.try_get("session_hour")?, params.window),
                    None => Parts::one(params.window),
                })
            }
            Takes::Money => Portions::Window(Parts::one(params.window)),
            Takes::Orders | Takes::NamedOrders => {
                Portions::Orders(ToldOrders::of(snapshot, params, money).await?)
            }
        })
    }

    /// The next, after one of so many rows.
    fn next(&mut self, rows: Option<usize>) -> Option<Portion> {
        match self {
            Portions::Window(parts) => match rows {
                Some(rows) => parts.next(rows).map(Portion::Window),
                None => Some(Portion::Window(parts.first())),
            },
            Portions::Orders(orders) => orders.next().map(Portion::Orders),
        }
    }
}

/// What is asked of each.
struct Question {
    sql: &'static str,
    takes: Takes,
    params: Params,
    money: Money,
    conversion: String,
}

impl Question {
    async fn ask(&self, snapshot: &Snapshot, portion: &Portion) -> Result<RowStream, DatabaseError> {
        match portion {
            Portion::Window(part) => {
                let scope = Scope::within(&self.params, *part);
                snapshot.stream(self.sql, self.with_others(scope.parameters())).await
            }
            Portion::Orders(orders) => snapshot.stream(self.sql, self.with_others(orders.parameters())).await,
        }
    }

    fn with_others<'a>(&'a self, mut parameters: Vec<Parameter<'a>>) -> Vec<Parameter<'a>> {
        match self.takes {
            Takes::Window | Takes::Orders => {}
            Takes::Money => parameters.extend(self.money.parameters()),
            Takes::NamedOrders => parameters.push((&self.conversion, Type::TEXT)),
        }
        parameters
    }

    /// What a file without rows begins with.
    async fn columns(&self, snapshot: &Snapshot) -> Result<Vec<String>, DatabaseError> {
        let (scope, nothing) = (Scope::of(&self.params), told_orders::Portion::default());
        let parameters = match self.takes {
            Takes::Window | Takes::Money => scope.parameters(),
            Takes::Orders | Takes::NamedOrders => nothing.parameters(),
        };
        let types: Vec<Type> =
            self.with_others(parameters).into_iter().map(|(_, parameter_type)| parameter_type).collect();
        snapshot.columns(self.sql, &types).await
    }
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
    question: Question,
    portions: Portions,
    /// Of the first portion, if there is one.
    rows: Option<RowStream>,
    permit: OwnedSemaphorePermit,
}

async fn send(reading: Reading, mut writer: Writer, out: mpsc::Sender<Bytes>, is_whole: Arc<AtomicBool>) {
    let Reading { snapshot, question, mut portions, mut rows, permit } = reading;
    let sent = async {
        while let Some(portion) = rows {
            let mut count = 0;
            let mut portion = pin!(portion);
            while let Some(row) = portion.next().await {
                count += 1;
                writer.push_row(&row?)?;
                if writer.text.len() >= CHUNK_BYTES {
                    hand_on(&mut writer.text, &out).await?;
                }
            }
            rows = match portions.next(Some(count)) {
                Some(next) => Some(question.ask(&snapshot, &next).await?),
                None => None,
            };
        }
        if writer.names.is_empty() && writer.shape == Shape::Csv {
            let columns = question.columns(&snapshot).await?;
            writer.begin(columns.iter().map(String::as_str));
        }
        hand_on(&mut writer.text, &out).await
    };
    match timeout(LONGEST, sent).await {
        Ok(Ok(())) => {
            is_whole.store(true, Ordering::Release);
            // Who has seen the end may ask for the next.
            drop(permit);
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

impl From<DatabaseError> for BrokenOff {
    fn from(error: DatabaseError) -> BrokenOff {
        BrokenOff::Database(error)
    }
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
    locale: Locale,
    zone: TimeZone,
    /// What stands before each value of a JSON line; of the columns, which all rows have.
    names: Vec<String>,
    /// Which columns are [`MONEY`].
    money: Vec<bool>,
    /// The column with its currency.
    currency: Option<usize>,
    /// The currency where that has none.
    shops: Option<String>,
    text: String,
    /// A value on its way.
    value: String,
}

/// A value: what has no text of its own is written to [`Writer::value`].
enum Cell<'a> {
    Null,
    /// A number, or whether something holds.
    Bare,
    /// A time or an id.
    Written,
    Text(&'a str),
}

impl Writer {
    fn new(shape: Shape, locale: Locale, zone: TimeZone) -> Writer {
        Writer {
            shape,
            locale,
            zone,
            names: Vec::new(),
            money: Vec::new(),
            currency: None,
            shops: None,
            text: String::new(),
            value: String::new(),
        }
    }

    /// Of a list.
    fn push_object(&mut self, row: &Map<String, Value>) {
        self.begin(row.keys().map(String::as_str));
        for (index, value) in row.values().enumerate() {
            self.value.clear();
            let cell = match value {
                Value::Null => Cell::Null,
                Value::String(text) => Cell::Text(text),
                other => {
                    self.value.push_str(&other.to_string());
                    Cell::Bare
                }
            };
            self.push(index, &cell);
        }
        self.end();
    }

    /// Of the database.
    fn push_row(&mut self, row: &Row) -> Result<(), tokio_postgres::Error> {
        self.begin(row.columns().iter().map(Column::name));
        let mut currency = None;
        if let Some(index) = self.currency {
            currency = row.try_get::<_, Option<&str>>(index)?;
        }
        for (index, column) in row.columns().iter().enumerate() {
            self.value.clear();
            let cell = match cell(row, index, column.type_(), &self.zone, &mut self.value)? {
                Cell::Text(text) if self.money[index] => {
                    let amount = amount(text, currency.or(self.shops.as_deref()));
                    self.value.push_str(&amount);
                    Cell::Written
                }
                other => other,
            };
            self.push(index, &cell);
        }
        self.end();
        Ok(())
    }

    /// Before the first row: names.
    fn begin<'a>(&mut self, names: impl Iterator<Item = &'a str> + Clone) {
        if !self.names.is_empty() {
            return;
        }
        let before = |(index, name): (usize, &str)| {
            format!("{}{}:", if index == 0 { '{' } else { ',' }, Value::from(name))
        };
        self.names = names.clone().enumerate().map(before).collect();
        self.money = names.clone().map(|name| MONEY.contains(&name)).collect();
        self.currency = names.clone().position(|name| CURRENCY.contains(&name));
        if self.shape == Shape::Csv {
            self.text.push(csv::BYTE_ORDER_MARK);
            let headings = names.map(|name| terms::heading(name, self.locale));
            csv::push_line(&mut self.text, headings);
        }
    }

    fn push(&mut self, index: usize, cell: &Cell<'_>) {
        match self.shape {
            Shape::JsonLines => {
                self.text.push_str(&self.names[index]);
                match cell {
                    Cell::Null => self.text.push_str("null"),
                    Cell::Bare => self.text.push_str(&self.value),
                    Cell::Written => {
                        self.text.push('"');
                        self.text.push_str(&self.value);
                        self.text.push('"');
                    }
                    Cell::Text(text) => push_json(&mut self.text, text),
                }
            }
            Shape::Csv => {
                if index > 0 {
                    self.text.push(',');
                }
                match cell {
                    Cell::Null => {}
                    Cell::Bare | Cell::Written => csv::push_cell(&mut self.text, &self.value),
                    Cell::Text(text) => csv::push_text(&mut self.text, text),
                }
            }
        }
    }

    fn end(&mut self) {
        self.text.push_str(if self.shape == Shape::Csv { "\r\n" } else { "}\n" });
    }
}

/// Text as JSON has it; little of it needs to be written otherwise.
fn push_json(to: &mut String, text: &str) {
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        return to.push_str(&Value::from(text).to_string());
    }
    to.push('"');
    to.push_str(text);
    to.push('"');
}

/// A value of the database.
fn cell<'a>(
    row: &'a Row,
    index: usize,
    of: &Type,
    zone: &TimeZone,
    value: &mut String,
) -> Result<Cell<'a>, tokio_postgres::Error> {
    match *of {
        Type::BOOL => written(row, index, Cell::Bare, |holds: bool| {
            value.push_str(if holds { "true" } else { "false" })
        }),
        Type::INT2 => written(row, index, Cell::Bare, |number: i16| _ = write!(value, "{number}")),
        Type::INT4 => written(row, index, Cell::Bare, |number: i32| _ = write!(value, "{number}")),
        Type::INT8 => written(row, index, Cell::Bare, |number: i64| _ = write!(value, "{number}")),
        Type::JSONB => written(row, index, Cell::Bare, |json: Value| _ = write!(value, "{json}")),
        Type::UUID => written(row, index, Cell::Written, |id: Uuid| {
            value.push_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        }),
        Type::TIMESTAMPTZ => written(row, index, Cell::Written, |at: Timestamp| {
            let _ = write!(value, "{}", at.display_with_offset(zone.to_offset(at)));
        }),
        _ => Ok(row.try_get::<_, Option<&str>>(index)?.map_or(Cell::Null, Cell::Text)),
    }
}

/// What is written of a value, unless it is null.
fn written<'a, T: FromSql<'a>>(
    row: &'a Row,
    index: usize,
    cell: Cell<'a>,
    write: impl FnOnce(T),
) -> Result<Cell<'a>, tokio_postgres::Error> {
    Ok(match row.try_get::<_, Option<T>>(index)? {
        Some(value) => {
            write(value);
            cell
        }
        None => Cell::Null,
    })
}
