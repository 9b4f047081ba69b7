//! Writes `events`, which nothing is merged with, by `COPY`.
//!
//! Rule: its statement has a name, which is gone before the transaction ends, as a pooler in transaction mode demands.

use std::error::Error;
use std::pin::pin;

use bytes::{BufMut, BytesMut};
use deadpool_postgres::Transaction;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};

use super::rows::events::Event;

/// The columns of `sql/events.sql`.
const COLUMNS: [Type; 13] = [
    Type::UUID,
    Type::UUID,
    Type::TIMESTAMPTZ,
    Type::INT8,
    Type::INT8,
    Type::INT4,
    Type::INT4,
    Type::INT2,
    Type::INT2,
    Type::NUMERIC,
    Type::TEXT,
    Type::TEXT,
    Type::JSONB,
];

/// Adds events.
pub(super) async fn copy(
    transaction: &Transaction<'_>,
    events: &[&Event],
) -> Result<(), tokio_postgres::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let sink = transaction.copy_in(include_str!("sql/events.sql")).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &COLUMNS));
    for event in events {
        let row: [&(dyn ToSql + Sync); COLUMNS.len()] = [
            &event.session_id,
            &event.visitor_id,
            &event.at,
            &event.page_id,
            &event.product_key,
            &event.site_id,
            &event.kind_id,
            &event.points,
            &event.status,
            &event.value,
            &event.currency,
            &event.order_id,
            &event.properties.as_deref().map(JsonText),
        ];
        writer.as_mut().write(&row).await?;
    }
    writer.finish().await.map(drop)
}

/// JSON as text, which `COPY` takes in the binary form only.
#[derive(Debug)]
struct JsonText<'a>(&'a str);

impl ToSql for JsonText<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_u8(1); // the only version there is
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    accepts!(JSONB);
    to_sql_checked!();
}
