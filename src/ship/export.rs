//! Everything that is stored of a person, as one JSON object: whom an erasure would find, found by the same questions.
//!
//! Rule: every column of the schema is named once in `data/personal.tsv`, with what an export and an erasure do with it;
//! tests hold it, both and the schema against each other. Rows go out as they are read.

use bytes::Bytes;
use deadpool_postgres::{Object, Transaction};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_postgres::IsolationLevel;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::forget::Found;
use crate::erasure::{Subject, id_hash};

/// Bytes that are gathered before they go out.
const CHUNK_BYTES: usize = 1 << 15;

/// By what a table's rows are found.
#[derive(Debug, Clone, Copy)]
enum By {
    /// `$1` visitors.
    Visitors,
    /// `$1` sites, `$2` orders.
    Orders,
    /// `$1` visitors, `$2` sites, `$3` orders.
    Both,
    /// `$1` ids and hashes of customers as they stand in records, 16 bytes each.
    Names,
    /// `$1` hashes of these.
    Hashes,
}

macro_rules! part {
    ($name:literal, $by:ident) => {
        ($name, include_str!(concat!("sql/export_", $name, ".sql")), By::$by)
    };
}

/// The parts of an export, each a list.
const PARTS: [(&str, &str, By); 14] = [
    part!("visitors", Visitors),
    part!("visitor_months", Visitors),
    part!("sessions", Visitors),
    part!("session_cookies", Visitors),
    part!("touches", Visitors),
    part!("events", Both),
    part!("product_views", Visitors),
    part!("told_actions", Both),
    part!("identifications", Names),
    part!("orders", Orders),
    part!("order_entries", Orders),
    part!("order_credits", Orders),
    part!("quarantine", Names),
    part!("erasures", Hashes),
];

/// Why there is no export, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A customer whom more orders name than one person has.
    #[error("this leads to more orders than one person has")]
    TooMany,
    /// The database did not answer.
    #[error("the database refused a statement: {0}")]
    Database(#[from] tokio_postgres::Error),
    /// Nobody reads it any more.
    #[error("nobody reads the export any more")]
    Closed,
}

/// Whom an export is about, found.
#[derive(Debug)]
pub struct Export {
    visitors: Vec<Uuid>,
    sites: Vec<i32>,
    orders: Vec<String>,
    names: Vec<Vec<u8>>,
    hashes: Vec<Vec<u8>>,
}

impl Export {
    /// Begins the one view of the database from which an export is read.
    pub async fn begin(client: &mut Object) -> Result<Transaction<'_>, ExportError> {
        let beginning = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        Ok(beginning.read_only(true).start().await?)
    }

    /// Whether nothing is stored, and nobody was forgotten.
    pub async fn is_empty(&self, transaction: &Transaction<'_>) -> Result<bool, ExportError> {
        if !(self.visitors.is_empty() && self.orders.is_empty()) {
            return Ok(false);
        }
        let by_hashes = [(&self.hashes as &(dyn ToSql + Sync), Type::BYTEA_ARRAY)];
        let sql = include_str!("sql/export_erasures.sql");
        Ok(transaction.query_typed(sql, &by_hashes).await?.is_empty())
    }

    /// Finds everybody and everything that is the subject's. The transaction had best be a repeatable read.
    pub async fn of(transaction: &Transaction<'_>, subject: &Subject) -> Result<Self, ExportError> {
        let found = Found::of(transaction, subject, false).await?.ok_or(ExportError::TooMany)?;
        let named = match subject {
            Subject::Visitor(id) => Some(id.as_bytes().to_vec()),
            Subject::Customer(hash) => Some(hash.to_vec()),
            Subject::Order { .. } => None,
        };
        let ids = found.visitors.iter().chain(&found.sessions).map(|id| id.as_bytes().to_vec());
        let mut names: Vec<Vec<u8>> = ids.chain(found.customers.iter().cloned()).chain(named).collect();
        names.sort_unstable();
        names.dedup();
        let hash =
            |name: &Vec<u8>| <&[u8; 16]>::try_from(name.as_slice()).ok().map(|id| id_hash(id).to_vec());
        let (sites, orders) = found.orders.iter().map(|(site, order)| (*site, order.clone())).unzip();
        Ok(Self {
            visitors: found.visitors.iter().copied().collect(),
            sites,
            orders,
            hashes: names.iter().filter_map(hash).collect(),
            names,
        })
    }

    /// Sends the object, piece by piece.
    pub async fn send(
        &self,
        transaction: &Transaction<'_>,
        out: &mpsc::Sender<Bytes>,
    ) -> Result<(), ExportError> {
        let mut text = String::from("{");
        for (index, (name, sql, by)) in PARTS.into_iter().enumerate() {
            text.push_str(if index == 0 { "" } else { "," });
            text.push_str(&format!("\n\"{name}\": ["));
            let parameters: Vec<(&(dyn ToSql + Sync), Type)> = match by {
                By::Visitors => vec![(&self.visitors, Type::UUID_ARRAY)],
                By::Orders => vec![(&self.sites, Type::INT4_ARRAY), (&self.orders, Type::TEXT_ARRAY)],
                By::Both => vec![
                    (&self.visitors, Type::UUID_ARRAY),
                    (&self.sites, Type::INT4_ARRAY),
                    (&self.orders, Type::TEXT_ARRAY),
                ],
                By::Names => vec![(&self.names, Type::BYTEA_ARRAY)],
                By::Hashes => vec![(&self.hashes, Type::BYTEA_ARRAY)],
            };
            let mut rows = std::pin::pin!(transaction.query_typed_raw(sql, parameters).await?);
            let mut between = "\n";
            while let Some(row) = rows.next().await {
                text.push_str(between);
                text.push_str(row?.get::<_, &str>("entry"));
                between = ",\n";
                if text.len() >= CHUNK_BYTES {
                    flush(&mut text, out).await?;
                }
            }
            text.push(']');
        }
        text.push_str("\n}\n");
        flush(&mut text, out).await
    }
}

async fn flush(text: &mut String, out: &mpsc::Sender<Bytes>) -> Result<(), ExportError> {
    let chunk = Bytes::from(std::mem::take(text));
    out.send(chunk).await.map_err(|_| ExportError::Closed)
}
