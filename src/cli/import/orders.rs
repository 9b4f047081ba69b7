//! Rows of orders: each is an entry of an order's ledger, as `POST /api/v1/orders` takes it.

use anyhow::bail;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::table::Table;
use super::{FileArgs, Read, about};
use crate::config::Config;
use crate::customer::CustomerHasher;
use crate::hit::{Record, Way};
use crate::keys::KeyRing;
use crate::stats::order_item::{self, FIELDS};

/// Fields whose own are columns, with a dot before them.
const NESTED: [&str; 3] = ["customer", "click_ids", "properties"];

pub(super) fn read(bytes: &[u8], file: &FileArgs, config: &Config) -> anyhow::Result<Read> {
    let table = Table::read(bytes, |cells| {
        ["order_id", "status"].iter().all(|name| cells.iter().any(|cell| cell == name))
    })?;
    for name in &table.header {
        let is_nested = name.split_once('.').is_some_and(|(field, _)| NESTED.contains(&field));
        if !is_nested && (!FIELDS.contains(&name.as_str()) || NESTED.contains(&name.as_str())) {
            bail!(
                "the column {name} is none that is known: {}, customer.phone, click_ids.gclid, properties.…",
                FIELDS.join(", ")
            );
        }
    }
    if !table.header.iter().any(|name| name == "at") {
        bail!("the column at is missing: when it happened, as 2026-11-22T10:00:00+02:00");
    }
    let keys = KeyRing::load_or_create(&config.orders.customer_key_file)?;
    if keys.unsaved().is_some() {
        bail!("the key of customers is not there: {}", config.orders.customer_key_file.display());
    }
    let customers = CustomerHasher::new(&keys, config.orders.phone_country.as_deref());
    let now = Timestamp::now();
    let mut read = Read::of(&table);
    for (line, cells) in &table.rows {
        let item = item(&table.header, cells, &file.site);
        match item.and_then(|item| order_item::read(&item, now, &customers).map_err(|refusal| refusal.reason))
        {
            Ok(mut fact) => {
                fact.way = Way::Import;
                read.records.push((*line, Record::Order(Box::new(fact))));
            }
            Err(reason) => read.refused.push((*line, reason)),
        }
    }
    Ok(read)
}

/// A row as the API has it; empty cells are not given.
fn item(header: &[String], cells: &[String], site: &str) -> Result<Value, String> {
    let mut item = Map::new();
    item.insert("site".to_owned(), json!(site));
    for (name, cell) in header.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
        if let Some((field, own)) = name.split_once('.') {
            let nested = item.entry(field).or_insert_with(|| json!({}));
            nested[own] = json!(cell);
        } else if name == "items" {
            let positions = serde_json::from_str(cell).map_err(|_| about("items", "it is not JSON"))?;
            item.insert(name.clone(), positions);
        } else {
            item.insert(name.clone(), json!(cell));
        }
    }
    if !item.contains_key("at") {
        return Err("at is required: when it happened, as 2026-11-22T10:00:00+02:00".to_owned());
    }
    Ok(Value::Object(item))
}
