//! Which orders are one customer's: those that telephones, e-mails and user ids of their reports connect, also by way of
//! each other, at one site.
//!
//! Rule: a pure function of `order_entries` and of whom orders are joined to by a cookie, a session or a visitor's name. A
//! shared key ([`MOST_REPORTS`], [`MOST_BROWSERS`]) connects nothing, and what more than [`MOST_KEYS`] keys hold together is no
//! customer. All that may change with an order is one step away from it: orders that have, or had, a key of it, and those
//! that were one customer's with any of these. Of a key that was shared without the order, too, nothing changes.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::columns::send;
use super::settle::Orders;
use crate::customer::{MOST_BROWSERS, MOST_REPORTS};

/// Keys of one customer. Chains of orders, each with a key of the one before, end somewhere.
const MOST_KEYS: usize = 50;

type Order = (i32, String);

/// Identifiers of customers by `(site_id, hash)`.
pub(super) type Keys = BTreeSet<(i32, Vec<u8>)>;

/// An order as customers are found by.
#[derive(Debug)]
struct Member {
    customer: Option<String>,
    /// Whom it is joined to without the customer's help.
    browser: Option<Uuid>,
    keys: Vec<Vec<u8>>,
}

impl Member {
    fn read(row: &Row) -> (Order, Member) {
        let keys: Option<Vec<Vec<u8>>> = row.get("keys");
        let member = Member {
            customer: row.get("customer"),
            browser: row.get("browser"),
            keys: keys.unwrap_or_default(),
        };
        ((row.get("site_id"), row.get("order_id")), member)
    }
}

/// An order that so many reports name with a key.
#[derive(Debug)]
struct Named {
    reports: i64,
    order: Order,
    member: Member,
}

/// What has been looked at.
#[derive(Debug, Default)]
struct Graph {
    members: BTreeMap<Order, Member>,
    /// Orders of a key; none when it is shared.
    keys: BTreeMap<(i32, Vec<u8>), Vec<String>>,
}

/// Orders that are one customer's, and the keys that connect them.
#[derive(Debug, Default)]
struct Customer {
    orders: Orders,
    keys: Keys,
}

/// The keys that reports about these orders name.
pub(super) async fn keys(transaction: &Transaction<'_>, orders: &Orders) -> Result<Keys, Error> {
    let rows = send!(transaction, "customer_keys", orders, |(site, order)| {
        INT4_ARRAY: site, TEXT_ARRAY: order,
    })?;
    Ok(rows.iter().map(|row| (row.get("site_id"), row.get("hash"))).collect())
}

/// Finds the customers of these orders anew, which had the keys `before`; answers the other orders that may be joined or
/// credited otherwise for it.
pub(super) async fn find(
    transaction: &Transaction<'_>,
    orders: &Orders,
    before: &Keys,
) -> Result<Orders, Error> {
    let rows = send!(transaction, "customer_members", orders, |(site, order)| {
        INT4_ARRAY: site, TEXT_ARRAY: order,
    })?;
    if rows.is_empty() && before.is_empty() {
        return Ok(Orders::new());
    }
    let mut graph = Graph { members: rows.iter().map(Member::read).collect(), ..Graph::default() };
    let reports: i64 = rows.iter().filter_map(|row| row.get::<_, Option<i64>>("reports")).sum();
    let keys = graph
        .members
        .iter()
        .flat_map(|((site, _), member)| member.keys.iter().map(|key| (*site, key.clone())));
    let keys: Keys = keys.chain(before.iter().cloned()).collect();
    graph.read(transaction, &keys, reports, orders).await?;
    graph.read_customers(transaction).await?;
    loop {
        let unknown = graph.unknown();
        if unknown.is_empty() {
            break;
        }
        graph.read(transaction, &unknown, 0, &Orders::new()).await?;
    }
    graph.write(transaction).await?;
    Ok(graph.members.into_keys().filter(|order| !orders.contains(order)).collect())
}

impl Graph {
    /// Reads the orders of keys, and of so many more reports than a key may have. Those of a shared key are looked at only
    /// when it would be none without the orders named.
    async fn read(
        &mut self,
        transaction: &Transaction<'_>,
        keys: &Keys,
        more: i64,
        without: &Orders,
    ) -> Result<(), Error> {
        let most = i64::from(MOST_REPORTS) + 1 + more;
        let rows = send!(transaction, "orders_of_keys", keys, |(site, key)| {
            INT4_ARRAY: site, BYTEA_ARRAY: key,
        }, INT8: most)?;
        let mut by_key: BTreeMap<(i32, Vec<u8>), Vec<Named>> = BTreeMap::new();
        for row in &rows {
            let (order, member) = Member::read(row);
            let named = Named { reports: row.get("reports"), order, member };
            by_key.entry((named.order.0, row.get("hash"))).or_default().push(named);
        }
        for key in keys {
            let found = by_key.remove(key).unwrap_or_default();
            if !is_shared(found.iter()) {
                self.keys.insert(key.clone(), found.iter().map(|named| named.order.1.clone()).collect());
            } else {
                self.keys.insert(key.clone(), Vec::new());
                if is_shared(found.iter().filter(|named| !without.contains(&named.order))) {
                    continue;
                }
            }
            self.members.extend(found.into_iter().map(|named| (named.order, named.member)));
        }
        Ok(())
    }

    /// Adds whatever was one customer's with what is here.
    async fn read_customers(&mut self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let known = self.members.iter();
        let known = known.filter_map(|((site, _), member)| Some((*site, member.customer.clone()?)));
        let known: BTreeSet<(i32, String)> = known.collect();
        let rows = send!(transaction, "members_of_customers", known, |(site, customer)| {
            INT4_ARRAY: site, TEXT_ARRAY: customer,
        })?;
        self.members.extend(rows.iter().map(Member::read));
        Ok(())
    }

    /// Keys that have not been read, but of what is no customer already.
    fn unknown(&self) -> Keys {
        let customers = self.customers();
        let customers = customers.iter().filter(|customer| customer.keys.len() <= MOST_KEYS);
        let keys =
            customers.flat_map(|customer| customer.orders.iter().flat_map(|order| self.keys_of(order)));
        keys.filter(|key| !self.keys.contains_key(key)).collect()
    }

    fn keys_of(&self, order: &Order) -> impl Iterator<Item = (i32, Vec<u8>)> {
        let keys = self.members.get(order).map(|member| member.keys.as_slice()).unwrap_or_default();
        let site = order.0;
        keys.iter().map(move |key| (site, key.clone()))
    }

    /// What is connected, as far as it was read.
    fn customers(&self) -> Vec<Customer> {
        let mut left: Orders = self.members.keys().cloned().collect();
        let mut customers = Vec::new();
        while let Some(first) = left.pop_first() {
            let mut customer = Customer::default();
            let mut next = vec![first];
            while let Some(order) = next.pop() {
                for key in self.keys_of(&order) {
                    let site = key.0;
                    let Some(orders) = self.keys.get(&key).filter(|orders| !orders.is_empty()) else {
                        continue;
                    };
                    if customer.keys.insert(key) {
                        next.extend(orders.iter().filter_map(|order| left.take(&(site, order.clone()))));
                    }
                }
                customer.orders.insert(order);
            }
            customers.push(customer);
        }
        customers
    }

    /// Writes whose orders are.
    async fn write(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let mut changed: Vec<(Order, Option<String>)> = Vec::new();
        for customer in self.customers() {
            let is_one = customer.orders.len() > 1 && customer.keys.len() <= MOST_KEYS;
            let name = customer.orders.first().filter(|_| is_one).map(|(_, order)| order.clone());
            let differing = customer.orders.into_iter();
            let differing = differing
                .filter(|order| self.members.get(order).is_some_and(|member| member.customer != name));
            changed.extend(differing.map(|order| (order, name.clone())));
        }
        changed.sort_unstable();
        send!(transaction, "write_customers", changed, |((site, order), customer)| {
            INT4_ARRAY: site, TEXT_ARRAY: order, TEXT_ARRAY: customer,
        })
        .map(drop)
    }
}

/// Whether a key that these orders have is too many people's to be one customer's.
fn is_shared<'a>(orders: impl Iterator<Item = &'a Named>) -> bool {
    let (mut reports, mut browsers) = (0, BTreeSet::new());
    for named in orders {
        reports += named.reports;
        browsers.extend(named.member.browser);
    }
    reports > i64::from(MOST_REPORTS) || browsers.len() > MOST_BROWSERS as usize
}
