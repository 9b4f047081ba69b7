//! Which orders and identifications are one customer's: those that telephones, e-mails and user ids connect, also by way of
//! each other, at one site.
//!
//! Rule: a pure function of `order_entries`, `identifications` and whom orders are joined to by a cookie, a session or a
//! visitor's name. A shared key ([`MOST_REPORTS`], [`MOST_BROWSERS`]) connects nothing, and what more than [`MOST_KEYS`] keys hold
//! together is no customer. All that may change with a member is one step away from it: members that have, or had, a key of
//! it, and those that were one customer's with any of these. Of a key that was shared without it, too, nothing changes.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::columns::send;
use super::settle::Orders;
use crate::customer::{MOST_BROWSERS, MOST_REPORTS};

/// Keys of one customer. Chains of orders, each with a key of the one before, end somewhere.
const MOST_KEYS: usize = 50;

/// An order, or an identification, of a site.
type Name = (i32, Place);

/// Identifiers of customers by `(site_id, hash)`.
pub(super) type Keys = BTreeSet<(i32, Vec<u8>)>;

/// Where a member stands: customers are called by the least order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Order(String),
    Identification(i64),
}

impl Place {
    fn order(&self) -> Option<&String> {
        if let Place::Order(order) = self { Some(order) } else { None }
    }

    fn identification(&self) -> Option<i64> {
        if let Place::Identification(id) = self { Some(*id) } else { None }
    }
}

/// An order or an identification as customers are found by.
#[derive(Debug)]
struct Member {
    customer: Option<String>,
    /// Whose it is without the customer's help.
    browser: Option<Uuid>,
    keys: Vec<Vec<u8>>,
}

impl Member {
    fn read(row: &Row) -> (Name, Member) {
        let keys: Option<Vec<Vec<u8>>> = row.get("keys");
        let member = Member {
            customer: row.get("customer"),
            browser: row.get("browser"),
            keys: keys.unwrap_or_default(),
        };
        let place = match row.get("order_id") {
            Some(order) => Place::Order(order),
            None => Place::Identification(row.get("identification_id")),
        };
        ((row.get("site_id"), place), member)
    }
}

/// A member that so many reports name with a key.
#[derive(Debug)]
struct Named {
    reports: i64,
    name: Name,
    member: Member,
}

/// What has been looked at.
#[derive(Debug, Default)]
struct Graph {
    members: BTreeMap<Name, Member>,
    /// Members that have a key; none when it is shared.
    keys: BTreeMap<(i32, Vec<u8>), Vec<Name>>,
}

/// Members that are one customer's, and the keys that connect them.
#[derive(Debug, Default)]
struct Customer {
    members: BTreeSet<Name>,
    keys: Keys,
}

/// The keys that reports about these orders name.
pub(super) async fn keys(transaction: &Transaction<'_>, orders: &Orders) -> Result<Keys, Error> {
    let rows = send!(transaction, "customer_keys", orders, |(site, order)| {
        INT4_ARRAY: site, TEXT_ARRAY: order,
    })?;
    Ok(rows.iter().map(|row| (row.get("site_id"), row.get("hash"))).collect())
}

/// Finds the customers of these orders, which had the keys `before`, and of these identifications anew; answers the other
/// orders that may be joined or credited otherwise for it.
pub(super) async fn find(
    transaction: &Transaction<'_>,
    orders: &Orders,
    identified: &BTreeSet<i64>,
    before: &Keys,
) -> Result<Orders, Error> {
    let (sites, ids): (Vec<i32>, Vec<&str>) =
        orders.iter().map(|(site, order)| (*site, order.as_str())).unzip();
    let identifications: Vec<i64> = identified.iter().copied().collect();
    let parameters = [
        (&sites as _, Type::INT4_ARRAY),
        (&ids as _, Type::TEXT_ARRAY),
        (&identifications as _, Type::INT8_ARRAY),
    ];
    let rows = transaction.query_typed(include_str!("sql/customer_members.sql"), &parameters).await?;
    if rows.is_empty() && before.is_empty() {
        return Ok(Orders::new());
    }
    let mut graph = Graph { members: rows.iter().map(Member::read).collect(), ..Graph::default() };
    let reports: i64 = rows.iter().map(|row| row.get::<_, i64>("reports")).sum();
    let keys = graph
        .members
        .iter()
        .flat_map(|((site, _), member)| member.keys.iter().map(|key| (*site, key.clone())));
    let keys: Keys = keys.chain(before.iter().cloned()).collect();
    let is_given = |(site, place): &Name| match place {
        Place::Order(order) => orders.contains(&(*site, order.clone())),
        Place::Identification(id) => identified.contains(id),
    };
    graph.read(transaction, &keys, reports, is_given).await?;
    graph.read_customers(transaction).await?;
    loop {
        let unknown = graph.unknown();
        if unknown.is_empty() {
            break;
        }
        graph.read(transaction, &unknown, 0, |_| false).await?;
    }
    graph.write(transaction).await?;
    let others = graph.members.into_keys().filter(|name| !is_given(name));
    Ok(others.filter_map(|(site, place)| Some((site, place.order()?.clone()))).collect())
}

impl Graph {
    /// Reads the members that have keys, and of so many more reports than a key may have. Those of a shared key are looked at
    /// only when it would be none without the members given.
    async fn read(
        &mut self,
        transaction: &Transaction<'_>,
        keys: &Keys,
        more: i64,
        is_given: impl Fn(&Name) -> bool,
    ) -> Result<(), Error> {
        let most = i64::from(MOST_REPORTS) + 1 + more;
        let rows = send!(transaction, "members_of_keys", keys, |(site, key)| {
            INT4_ARRAY: site, BYTEA_ARRAY: key,
        }, INT8: most)?;
        let mut by_key: BTreeMap<(i32, Vec<u8>), Vec<Named>> = BTreeMap::new();
        for row in &rows {
            let (name, member) = Member::read(row);
            let named = Named { reports: row.get("named"), name, member };
            by_key.entry((named.name.0, row.get("hash"))).or_default().push(named);
        }
        for key in keys {
            let found = by_key.remove(key).unwrap_or_default();
            if !is_shared(found.iter()) {
                self.keys.insert(key.clone(), found.iter().map(|named| named.name.clone()).collect());
            } else {
                self.keys.insert(key.clone(), Vec::new());
                if is_shared(found.iter().filter(|named| !is_given(&named.name))) {
                    continue;
                }
            }
            self.members.extend(found.into_iter().map(|named| (named.name, named.member)));
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
        let keys = customers.flat_map(|customer| customer.members.iter().flat_map(|name| self.keys_of(name)));
        keys.filter(|key| !self.keys.contains_key(key)).collect()
    }

    fn keys_of(&self, name: &Name) -> impl Iterator<Item = (i32, Vec<u8>)> {
        let keys = self.members.get(name).map(|member| member.keys.as_slice()).unwrap_or_default();
        let site = name.0;
        keys.iter().map(move |key| (site, key.clone()))
    }

    /// What is connected, as far as it was read.
    fn customers(&self) -> Vec<Customer> {
        let mut left: BTreeSet<Name> = self.members.keys().cloned().collect();
        let mut customers = Vec::new();
        while let Some(first) = left.pop_first() {
            let mut customer = Customer::default();
            let mut next = vec![first];
            while let Some(name) = next.pop() {
                for key in self.keys_of(&name) {
                    let Some(members) = self.keys.get(&key).filter(|members| !members.is_empty()) else {
                        continue;
                    };
                    if customer.keys.insert(key) {
                        next.extend(members.iter().filter_map(|name| left.take(name)));
                    }
                }
                customer.members.insert(name);
            }
            customers.push(customer);
        }
        customers
    }

    /// Writes whose orders and identifications are.
    async fn write(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let mut changed: Vec<(Name, Option<String>)> = Vec::new();
        for Customer { members, keys } in self.customers() {
            let is_one = members.len() > 1 && keys.len() <= MOST_KEYS;
            let first = members.first().filter(|_| is_one);
            let called = first.and_then(|(_, place)| place.order().cloned());
            let differing = members.into_iter();
            let differing = differing
                .filter(|name| self.members.get(name).is_some_and(|member| member.customer != called));
            changed.extend(differing.map(|name| (name, called.clone())));
        }
        changed.sort_unstable();
        send!(transaction, "write_customers", changed, |((site, place), customer)| {
            INT4_ARRAY: site, TEXT_ARRAY: place.order(), INT8_ARRAY: place.identification(), TEXT_ARRAY: customer,
        })
        .map(drop)
    }
}

/// Whether a key that these members have is too many people's to be one customer's.
fn is_shared<'a>(members: impl Iterator<Item = &'a Named>) -> bool {
    let (mut reports, mut browsers) = (0, BTreeSet::new());
    for named in members {
        reports += named.reports;
        browsers.extend(named.member.browser);
    }
    reports > i64::from(MOST_REPORTS) || browsers.len() > MOST_BROWSERS as usize
}
