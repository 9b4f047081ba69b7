//! What visitors were given, held against the database: each page view, touch and order once, and as it was seen.

use std::collections::HashMap;
use std::hash::Hash;

use tokio_postgres::{Client, Error};
use uuid::Uuid;

use super::load::{Receipt, VALUE};

/// Where the two differ.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Paths of answers of which something is missing.
    pub(crate) lost: Vec<String>,
    /// What is there more than once.
    pub(crate) doubled: Vec<String>,
    /// What is there with another visitor, status or value.
    pub(crate) wrong: Vec<String>,
}

/// Rows by what they are of.
type Rows<K, V> = HashMap<K, Vec<V>>;
type Seen = (Option<Uuid>, Option<i16>);

/// Everything in the database that visitors of paths below `/<name>…` can have caused.
struct Book {
    views: Rows<String, Seen>,
    purchases: Rows<String, Seen>,
    touches: Rows<String, Seen>,
    orders: Rows<String, (Option<Uuid>, String, i64)>,
}

impl Book {
    async fn read(client: &Client, name: &str) -> Result<Self, Error> {
        let pages = format!("/{name}%");
        let events = "SELECT p.path, e.visitor_id, e.status FROM events e JOIN pages p USING (page_id)
            JOIN action_kinds k USING (kind_id) WHERE p.path LIKE $1 AND k.name = $2";
        let views = client.query(events, &[&pages, &"page_view"]).await?;
        let purchases = client.query(events, &[&pages, &"purchase"]).await?;
        let touches = "SELECT c.campaign, t.visitor_id, t.status FROM touches t JOIN campaigns c
            USING (campaign_id) WHERE c.campaign LIKE $1";
        let touches = client.query(touches, &[&format!("{name}%")]).await?;
        let orders = "SELECT o.order_id, o.visitor_id, coalesce(o.gross, 0)::text, (SELECT count(*)
            FROM order_entries e WHERE e.order_id = o.order_id) FROM orders o WHERE o.order_id LIKE $1";
        let orders = client.query(orders, &[&format!("{name}%")]).await?;
        let seen = |row: &tokio_postgres::Row| (row.get(0), (row.get(1), row.get(2)));
        Ok(Self {
            views: grouped(views.iter().map(seen)),
            purchases: grouped(purchases.iter().map(seen)),
            touches: grouped(touches.iter().map(seen)),
            orders: grouped(
                orders.iter().map(|row| (row.get(0), (row.get(1), row.get::<_, String>(2), row.get(3)))),
            ),
        })
    }
}

fn grouped<K: Hash + Eq, V>(rows: impl Iterator<Item = (K, V)>) -> Rows<K, V> {
    let mut groups = Rows::new();
    rows.for_each(|(key, row)| groups.entry(key).or_default().push(row));
    groups
}

/// Compares what was received at paths below `/<name>…` with the database.
pub(crate) async fn compare(
    client: &Client,
    name: &str,
    received: &HashMap<String, Receipt>,
) -> Result<Findings, Error> {
    let book = Book::read(client, name).await?;
    let mut findings = Findings::default();
    for (path, receipt) in received {
        let seen = (receipt.visitor, i16::try_from(receipt.status).ok());
        let mut is_lost = false;
        let mut expect = |what: &str, rows: Option<&Vec<Seen>>| match rows.map(Vec::as_slice) {
            None | Some([]) => is_lost = true,
            Some([row, ..]) if *row != seen => {
                findings.wrong.push(format!("{what} of {path}: {row:?} instead of {seen:?}"));
            }
            Some(_) => {}
        };
        if receipt.status < 300 {
            expect("page view", book.views.get(path));
        }
        if let Some(campaign) = &receipt.campaign {
            expect("touch", book.touches.get(campaign));
        }
        if let Some(order) = &receipt.order {
            expect("purchase", book.purchases.get(path));
            match book.orders.get(order).map(Vec::as_slice) {
                None | Some([]) => is_lost = true,
                Some([(visitor, gross, _), ..]) if (*visitor, gross.as_str()) != (receipt.visitor, VALUE) => {
                    findings.wrong.push(format!("order {order}: {visitor:?}, {gross}"));
                }
                Some(_) => {}
            }
        }
        if is_lost {
            findings.lost.push(path.clone());
        }
    }
    for rows in [&book.views, &book.purchases, &book.touches] {
        findings.doubled.extend(rows.iter().filter(|(_, rows)| rows.len() > 1).map(|(key, _)| key.clone()));
    }
    let entries = book.orders.iter().filter(|(_, rows)| rows.len() > 1 || rows[0].2 > 1);
    findings.doubled.extend(entries.map(|(order, _)| order.clone()));
    findings.lost.sort();
    Ok(findings)
}
