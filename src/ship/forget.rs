//! Forgets a person: finds what is known of them, renames it and empties what could identify.
//!
//! Rule: the transaction holds [`hold_months`], then the settle lock exclusively. So no batch is under way that folded its records without
//! the new entries of the list, and each that follows finds the list changed ([`ForgottenList::changed`]).

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::columns::send;
use super::forgotten::{CUSTOMER, NewHashes, NewSession, Replacer, SESSION, VISITOR};
use super::settle::Orders;
use crate::erasure::{Erasure, IdHash, Outcome, Receipt, Subject, id_hash};
use crate::keys::KEY_BYTES;
use crate::store::locks;

/// Orders that one customer may have. A telephone number that more of them name stands for no number at all, and to
/// rename the visitors of all of them would take longer than batches can wait.
const MOST_ORDERS: usize = 1_000;

/// One parameter of a statement.
type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Everything that is a person's.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) visitors: BTreeSet<Uuid>,
    pub(super) sessions: BTreeSet<Uuid>,
    evidence: BTreeSet<i64>,
    pub(super) orders: Orders,
    /// Keyed hashes by which they are to be known again.
    pub(super) customers: BTreeSet<Vec<u8>>,
}

/// Old and new, side by side, as statements take them.
struct Renaming<T> {
    old: Vec<T>,
    new: Vec<T>,
}

impl<T: Copy> Renaming<T> {
    fn of(old: &BTreeSet<T>, replaced: impl Fn(T) -> T) -> Self {
        Renaming { old: old.iter().copied().collect(), new: old.iter().map(|one| replaced(*one)).collect() }
    }
}

/// No month is counted and dropped until the end of the transaction. Comes before the settle lock and all facts: a drop
/// may take a while, and neither does it get its table while these hold it, nor should other batches wait for it.
pub(super) async fn hold_months(transaction: &Transaction<'_>) -> Result<(), Error> {
    let number = [(&locks::RETENTION as _, Type::INT8)];
    transaction.query_typed(include_str!("sql/lock_exclusive.sql"), &number).await.map(drop)
}

/// Forgets whom the record names.
pub(super) async fn forget(transaction: &Transaction<'_>, erasure: &Erasure) -> Result<Receipt, Error> {
    let Some(found) = Found::of(transaction, &erasure.subject, true).await? else {
        return keep_receipt(transaction, erasure, Outcome::TooMany, BTreeMap::new(), None).await;
    };
    let before = was_forgotten(transaction, &erasure.subject, &found).await?;
    let mut erased = BTreeMap::new();
    // An id of which nothing has come yet is listed all the same: it may come late.
    let named = match &erasure.subject {
        Subject::Visitor(id) if !before => Some(*id),
        _ => None,
    };
    let mut hashes = hashes_of(transaction, &found.orders, &found.visitors, true).await?;
    if let Subject::Customer(hash) = &erasure.subject {
        hashes.entry(*hash).or_default();
    }
    let is_listed =
        named.is_some() || !(found.visitors.is_empty() && found.sessions.is_empty() && hashes.is_empty());
    let told = ToldOf::find(transaction, &found).await?;
    erased.insert("events", told.empty(transaction, &found).await?);
    let key: Option<[u8; KEY_BYTES]> = is_listed.then(rand::random);
    if let Some(key) = key {
        rename(transaction, &found, &told.times, key, &mut erased).await?;
        let hashes = hashes.into_keys().map(|hash| (hash, (erasure.erasure_id, key))).collect();
        erased.insert("customers", rename_hashes(transaction, &hashes).await?);
    }
    let marked = mark_orders(transaction, &found.orders, false).await?;
    let orders = erased.entry("orders").or_default();
    *orders = marked.max(*orders);
    let taken = take_customers_out(transaction, &found.orders).await?;
    let customers = erased.entry("customers").or_default();
    *customers = taken.max(*customers);
    erased.insert("quarantine", clear_quarantine(transaction, &found).await?);
    list(transaction, &found, named, erasure.erasure_id).await?;
    erased.retain(|_, rows| *rows > 0);
    let outcome = match (erased.is_empty(), before) {
        (false, _) => Outcome::Forgotten,
        (true, true) => Outcome::AlreadyForgotten,
        (true, false) => Outcome::NothingFound,
    };
    keep_receipt(transaction, erasure, outcome, erased, key).await
}

/// What batches with computed orders leave to do: reports about a forgotten person's orders lose the person.
pub(super) async fn anonymise_orders(transaction: &Transaction<'_>, orders: &Orders) -> Result<(), Error> {
    mark_orders(transaction, orders, true).await?;
    let hashes = hashes_of(transaction, orders, &BTreeSet::new(), false).await?;
    let hashes = hashes.into_iter().filter_map(|(hash, newest)| Some((hash, newest?))).collect();
    rename_hashes(transaction, &hashes).await?;
    take_customers_out(transaction, orders).await.map(drop)
}

/// The same for what forgotten visitors among these, and those of these sessions, gave.
pub(super) async fn anonymise_identifications(
    transaction: &Transaction<'_>,
    visitors: &[Uuid],
    sessions: &[Uuid],
) -> Result<(), Error> {
    if visitors.is_empty() && sessions.is_empty() {
        return Ok(());
    }
    let parameters: [Parameter<'_>; 2] = [(&visitors, Type::UUID_ARRAY), (&sessions, Type::UUID_ARRAY)];
    let sql = include_str!("sql/forget_hashes_identified.sql");
    let rows = transaction.query_typed(sql, &parameters).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let hashes =
        rows.iter().filter_map(read_hash).filter_map(|(hash, newest)| Some((hash, newest?))).collect();
    rename_hashes(transaction, &hashes).await?;
    let forgotten: Vec<Uuid> = rows.iter().map(|row| row.get("visitor_id")).collect();
    let of_forgotten = [(&forgotten as _, Type::UUID_ARRAY)];
    transaction.execute_typed(include_str!("sql/forget_unnamed.sql"), &of_forgotten).await.map(drop)
}

/// Replaces hashes of customers wherever they are, and lists them; answers in how many reports.
pub(super) async fn rename_hashes(transaction: &Transaction<'_>, hashes: &NewHashes) -> Result<u64, Error> {
    if hashes.is_empty() {
        return Ok(0);
    }
    let of = hashes.iter();
    let (of, erasures): (Vec<&[u8]>, Vec<Uuid>) =
        of.map(|(hash, (erasure_id, _))| (hash.as_slice(), *erasure_id)).unzip();
    let keys: Vec<&[u8]> = hashes.values().map(|(_, key)| key.as_slice()).collect();
    let parameters: [Parameter<'_>; 3] =
        [(&of, Type::BYTEA_ARRAY), (&erasures, Type::UUID_ARRAY), (&keys, Type::BYTEA_ARRAY)];
    transaction.execute_typed(include_str!("sql/forget_hashes.sql"), &parameters).await
}

/// The newest erasure that has a key, and the key: which one replaces a hash does not matter, as long as it is the same
/// everywhere.
type Newest = Option<(Uuid, [u8; KEY_BYTES])>;

/// Hashes of customers in reports about orders, of all or of those marked as forgotten, and those that visitors gave.
async fn hashes_of(
    transaction: &Transaction<'_>,
    orders: &Orders,
    visitors: &BTreeSet<Uuid>,
    all: bool,
) -> Result<BTreeMap<[u8; 16], Newest>, Error> {
    let (sites, ids): (Vec<i32>, Vec<&str>) =
        orders.iter().map(|(site, order)| (*site, order.as_str())).unzip();
    let visitors: Vec<Uuid> = visitors.iter().copied().collect();
    let parameters: [Parameter<'_>; 4] = [
        (&sites, Type::INT4_ARRAY),
        (&ids, Type::TEXT_ARRAY),
        (&all, Type::BOOL),
        (&visitors, Type::UUID_ARRAY),
    ];
    let rows = transaction.query_typed(include_str!("sql/forget_hashes_of.sql"), &parameters).await?;
    Ok(rows.iter().filter_map(read_hash).collect())
}

fn read_hash(row: &Row) -> Option<([u8; 16], Newest)> {
    let hash = row.get::<_, &[u8]>("hash").try_into().ok()?;
    let key = row.get::<_, Option<&[u8]>>("key").and_then(|key| key.try_into().ok());
    Some((hash, row.get::<_, Option<Uuid>>("erasure_id").zip(key)))
}

/// Lists sessions of forgotten visitors that came to be known only now; reports that name them are renamed.
pub(super) async fn add_sessions(
    transaction: &Transaction<'_>,
    sessions: &BTreeMap<Uuid, NewSession>,
) -> Result<(), Error> {
    send!(transaction, "forgotten_add", sessions, |(id, session)| {
        BYTEA_ARRAY: id_hash(id.as_bytes()).to_vec(), INT2_ARRAY: SESSION, UUID_ARRAY: session.erasure_id,
    })?;
    send!(transaction, "forget_session_names", sessions, |(id, session)| {
        UUID_ARRAY: id, UUID_ARRAY: session.replacement,
    })
    .map(drop)
}

impl Found {
    /// None when an order or a customer leads to too many.
    ///
    /// `connected`: a visitor's customer leads on to their other orders, and whose these are. An order or a customer does in
    /// any case.
    pub(super) async fn of(
        transaction: &Transaction<'_>,
        subject: &Subject,
        connected: bool,
    ) -> Result<Option<Found>, Error> {
        let mut found = Found::default();
        match subject {
            Subject::Visitor(id) => {
                found.visitors.insert(*id);
                if connected {
                    found.add_sessions_and_orders(transaction).await?;
                    found.add_connected(transaction).await?;
                }
            }
            Subject::Order { site, order_id } => {
                found.add_customers(transaction, Some(site), Some(order_id), None).await?;
            }
            Subject::Customer(hash) => {
                found.customers.insert(hash.to_vec());
                found.add_customers(transaction, None, None, Some(hash.as_slice())).await?;
            }
        }
        if found.orders.len() > MOST_ORDERS {
            return Ok(None);
        }
        found.add_identified(transaction).await?;
        found.add_visitors_of_orders(transaction).await?;
        found.add_sessions_and_orders(transaction).await?;
        // Reports may name ids of which nothing has come.
        let rows = send!(transaction, "forget_unknown_names", found.orders, |(site, order)| {
            INT4_ARRAY: site, TEXT_ARRAY: order,
        })?;
        for row in rows {
            found.visitors.extend(row.get::<_, Option<Uuid>>("visitor_id"));
            found.sessions.extend(row.get::<_, Option<Uuid>>("session_id"));
        }
        let visitors: Vec<Uuid> = found.visitors.iter().copied().collect();
        let by_visitors = [(&visitors as _, Type::UUID_ARRAY)];
        let rows = transaction.query_typed(include_str!("sql/forget_evidence_of.sql"), &by_visitors).await?;
        found.evidence = rows.iter().map(|row| row.get("evidence")).collect();
        found.drop_absent(transaction, subject).await?;
        Ok(Some(found))
    }

    async fn add_customers(
        &mut self,
        transaction: &Transaction<'_>,
        site: Option<&String>,
        order_id: Option<&String>,
        hash: Option<&[u8]>,
    ) -> Result<(), Error> {
        let parameters: [Parameter<'_>; 3] =
            [(&site, Type::TEXT), (&order_id, Type::TEXT), (&hash, Type::BYTEA)];
        let sql = include_str!("sql/forget_customer_orders.sql");
        for row in transaction.query_typed(sql, &parameters).await? {
            self.orders.insert((row.get("site_id"), row.get("order_id")));
            self.customers.extend(row.get::<_, Option<Vec<u8>>>("customer"));
        }
        Ok(())
    }

    /// Orders that share a customer with those found, if they are not more than one person has.
    async fn add_connected(&mut self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let hashes = hashes_of(transaction, &self.orders, &self.visitors, true).await?;
        let names: Vec<&[u8]> = hashes.keys().map(<[u8; 16]>::as_slice).collect();
        let by_names = [(&names as _, Type::BYTEA_ARRAY)];
        let rows =
            transaction.query_typed(include_str!("sql/forget_connected_orders.sql"), &by_names).await?;
        let more: Orders = rows.iter().map(|row| (row.get("site_id"), row.get("order_id"))).collect();
        if more.union(&self.orders).count() <= MOST_ORDERS {
            self.orders.extend(more);
            self.customers.extend(hashes.keys().map(|hash| hash.to_vec()));
        }
        Ok(())
    }

    /// Visitors who gave an identifier of the customer's.
    async fn add_identified(&mut self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let hashes: Vec<&[u8]> = self.customers.iter().map(Vec::as_slice).collect();
        let by_hashes = [(&hashes as _, Type::BYTEA_ARRAY)];
        let rows = transaction.query_typed(include_str!("sql/forget_identified.sql"), &by_hashes).await?;
        self.visitors.extend(rows.iter().map(|row| row.get::<_, Uuid>("visitor_id")));
        Ok(())
    }

    async fn add_visitors_of_orders(&mut self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let rows = send!(transaction, "forget_visitors_of_orders", self.orders, |(site, order)| {
            INT4_ARRAY: site, TEXT_ARRAY: order,
        })?;
        self.visitors.extend(rows.iter().map(|row| row.get::<_, Uuid>("visitor_id")));
        let visitors: Vec<Uuid> = self.visitors.iter().copied().collect();
        let by_visitors = [(&visitors as _, Type::UUID_ARRAY)];
        let rows = transaction.query_typed(include_str!("sql/forget_minted_from.sql"), &by_visitors).await?;
        self.visitors.extend(rows.iter().map(|row| row.get::<_, Uuid>("visitor_id")));
        Ok(())
    }

    async fn add_sessions_and_orders(&mut self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let visitors: Vec<Uuid> = self.visitors.iter().copied().collect();
        let by_visitors = [(&visitors as _, Type::UUID_ARRAY)];
        let rows = transaction.query_typed(include_str!("sql/forget_sessions_of.sql"), &by_visitors).await?;
        self.sessions.extend(rows.iter().map(|row| row.get::<_, Uuid>("session_id")));
        let sessions: Vec<Uuid> = self.sessions.iter().copied().collect();
        let by_both: [Parameter<'_>; 2] = [(&visitors, Type::UUID_ARRAY), (&sessions, Type::UUID_ARRAY)];
        let rows = transaction.query_typed(include_str!("sql/forget_orders_of.sql"), &by_both).await?;
        self.orders.extend(rows.iter().map(|row| (row.get("site_id"), row.get("order_id"))));
        Ok(())
    }

    /// A visitor named by id of whom there is nothing is not found.
    async fn drop_absent(&mut self, transaction: &Transaction<'_>, subject: &Subject) -> Result<(), Error> {
        let Subject::Visitor(id) = subject else { return Ok(()) };
        if self.sessions.is_empty() && self.orders.is_empty() {
            let by_id = [(id as _, Type::UUID)];
            let sql = include_str!("sql/forget_is_visitor.sql");
            if transaction.query_typed(sql, &by_id).await?.is_empty() {
                self.visitors.remove(id);
            }
        }
        Ok(())
    }

    fn order_columns(&self) -> (Vec<i32>, Vec<&str>) {
        self.orders.iter().map(|(site, order)| (*site, order.as_str())).unzip()
    }
}

async fn was_forgotten(
    transaction: &Transaction<'_>,
    subject: &Subject,
    found: &Found,
) -> Result<bool, Error> {
    let named = match subject {
        Subject::Visitor(id) => vec![id_hash(id.as_bytes()).to_vec()],
        Subject::Customer(hash) => vec![id_hash(hash).to_vec()],
        Subject::Order { .. } => Vec::new(),
    };
    let (sites, orders) = found.order_columns();
    let parameters: [Parameter<'_>; 3] =
        [(&named, Type::BYTEA_ARRAY), (&sites, Type::INT4_ARRAY), (&orders, Type::TEXT_ARRAY)];
    let row = transaction.query_typed_one(include_str!("sql/forget_known_before.sql"), &parameters).await?;
    Ok(row.get("before"))
}

/// Renames everywhere; the tables in the order in which batches write them.
async fn rename(
    transaction: &Transaction<'_>,
    found: &Found,
    told: &[Timestamp],
    key: [u8; KEY_BYTES],
    erased: &mut BTreeMap<&'static str, u64>,
) -> Result<(), Error> {
    // What is one visit stays one: nobody can tell afterwards.
    let ids: Vec<Uuid> = found.visitors.iter().copied().collect();
    let by_ids = [(&ids as _, Type::UUID_ARRAY)];
    transaction.query_typed(include_str!("sql/forget_join_landings.sql"), &by_ids).await?;
    let replacer = Replacer::new(key);
    let visitors = Renaming::of(&found.visitors, |id| replacer.visitor(id));
    let sessions = Renaming::of(&found.sessions, |id| replacer.session(id));
    let evidence = Renaming::of(&found.evidence, |evidence| replacer.evidence(evidence));
    let (sites, orders) = found.order_columns();
    // Whoever is forgotten may have earned orders of the customer's other browsers.
    let credited_to: [Parameter<'_>; 3] =
        [(&sites, Type::INT4_ARRAY), (&orders, Type::TEXT_ARRAY), (&visitors.old, Type::UUID_ARRAY)];
    let rows = transaction.query_typed(include_str!("sql/forget_credited_orders.sql"), &credited_to).await?;
    let credited: Orders = rows.iter().map(|row| (row.get("site_id"), row.get("order_id"))).collect();
    let (credited_sites, credited): (Vec<i32>, Vec<String>) = credited.union(&found.orders).cloned().unzip();
    let visitor = (&visitors.old as &(dyn ToSql + Sync), Type::UUID_ARRAY);
    let new_visitor = (&visitors.new as &(dyn ToSql + Sync), Type::UUID_ARRAY);
    let session = (&sessions.old as &(dyn ToSql + Sync), Type::UUID_ARRAY);
    let new_session = (&sessions.new as &(dyn ToSql + Sync), Type::UUID_ARRAY);
    let touched = (&evidence.old as &(dyn ToSql + Sync), Type::INT8_ARRAY);
    let new_touched = (&evidence.new as &(dyn ToSql + Sync), Type::INT8_ARRAY);
    let in_sessions = [visitor.clone(), new_visitor.clone(), session.clone(), new_session.clone()];
    let evidenced = [touched.clone(), new_touched.clone()];
    let with_evidence = [in_sessions.as_slice(), &evidenced].concat();
    let visitors_with_evidence = [[visitor.clone(), new_visitor.clone()], evidenced].concat();
    let of_links: Vec<Parameter<'_>> =
        vec![visitor.clone(), session.clone(), new_session.clone(), touched.clone(), new_touched.clone()];
    let of_orders = [(&sites as _, Type::INT4_ARRAY), (&orders as _, Type::TEXT_ARRAY)];
    let of_credits: Vec<Parameter<'_>> = vec![
        (&credited_sites, Type::INT4_ARRAY),
        (&credited, Type::TEXT_ARRAY),
        session.clone(),
        new_session,
        touched,
        new_touched,
    ];
    let of_told = [(&told as _, Type::TIMESTAMPTZ_ARRAY), visitor.clone(), new_visitor.clone()];
    let of_visitors = [visitor.clone(), new_visitor];
    let key = key.as_slice();
    let with_key = [in_sessions.as_slice(), &[(&key as _, Type::BYTEA)]].concat();
    let steps: [(&'static str, &str, &[Parameter<'_>]); 16] = [
        ("order_credits", include_str!("sql/forget_linked_credits.sql"), &of_links),
        ("visitors", include_str!("sql/forget_visitors.sql"), &visitors_with_evidence),
        ("visitors", include_str!("sql/forget_minted.sql"), std::slice::from_ref(&visitor)),
        ("product_views", include_str!("sql/forget_product_views.sql"), &in_sessions),
        ("sessions", include_str!("sql/forget_sessions.sql"), &with_evidence),
        ("session_cookies", include_str!("sql/forget_cookies.sql"), &[visitor.clone(), session]),
        ("touches", include_str!("sql/forget_touches.sql"), &with_evidence),
        ("events", include_str!("sql/forget_events.sql"), &in_sessions),
        ("events", include_str!("sql/forget_told_visitors.sql"), &of_told),
        ("told_actions", include_str!("sql/forget_told_actions.sql"), &in_sessions),
        ("identifications", include_str!("sql/forget_identifications.sql"), &with_key),
        ("order_entries", include_str!("sql/forget_order_names.sql"), &in_sessions),
        ("orders", include_str!("sql/forget_orders.sql"), &in_sessions),
        ("orders", include_str!("sql/forget_clicked.sql"), &of_orders),
        ("order_credits", include_str!("sql/forget_credits.sql"), &of_credits),
        ("visitor_months", include_str!("sql/forget_visitor_months.sql"), &of_visitors),
    ];
    for (table, sql, parameters) in steps {
        *erased.entry(table).or_default() += transaction.execute_typed(sql, parameters).await?;
    }
    Ok(())
}

/// What the shop told of them, or of their orders, alone: rows of `events` have no name.
#[derive(Debug, Default)]
struct ToldOf {
    times: Vec<Timestamp>,
    sites: Vec<i32>,
    kinds: Vec<i32>,
    of_visitors: Vec<bool>,
}

impl ToldOf {
    /// Comes before what names them is renamed.
    async fn find(transaction: &Transaction<'_>, found: &Found) -> Result<Self, Error> {
        let visitors: Vec<Uuid> = found.visitors.iter().copied().collect();
        let (sites, orders) = found.order_columns();
        let parameters: [Parameter<'_>; 3] =
            [(&visitors, Type::UUID_ARRAY), (&sites, Type::INT4_ARRAY), (&orders, Type::TEXT_ARRAY)];
        let rows = transaction.query_typed(include_str!("sql/forget_told_times.sql"), &parameters).await?;
        let mut told = ToldOf::default();
        for row in rows {
            told.times.push(row.get("at"));
            told.sites.push(row.get("site_id"));
            told.kinds.push(row.get("kind_id"));
            told.of_visitors.push(row.get("of_visitor"));
        }
        Ok(told)
    }

    /// Takes its properties off; answers of how many rows.
    async fn empty(&self, transaction: &Transaction<'_>, found: &Found) -> Result<u64, Error> {
        if self.times.is_empty() {
            return Ok(0);
        }
        let visitors: Vec<Uuid> = found.visitors.iter().copied().collect();
        let (sites, orders) = found.order_columns();
        let parameters: [Parameter<'_>; 7] = [
            (&self.times, Type::TIMESTAMPTZ_ARRAY),
            (&self.sites, Type::INT4_ARRAY),
            (&self.kinds, Type::INT4_ARRAY),
            (&self.of_visitors, Type::BOOL_ARRAY),
            (&visitors, Type::UUID_ARRAY),
            (&sites, Type::INT4_ARRAY),
            (&orders, Type::TEXT_ARRAY),
        ];
        transaction.execute_typed(include_str!("sql/forget_told_events.sql"), &parameters).await
    }
}

async fn mark_orders(
    transaction: &Transaction<'_>,
    orders: &Orders,
    only_of_forgotten: bool,
) -> Result<u64, Error> {
    let marked = send!(transaction, "forget_mark_orders", orders, |(site, order)| {
        INT4_ARRAY: site, TEXT_ARRAY: order,
    }, BOOL: only_of_forgotten)?;
    Ok(marked.len() as u64)
}

/// Answers how many reports lost a person.
async fn take_customers_out(transaction: &Transaction<'_>, orders: &Orders) -> Result<u64, Error> {
    if orders.is_empty() {
        return Ok(0);
    }
    let (sites, ids): (Vec<i32>, Vec<&str>) =
        orders.iter().map(|(site, order)| (*site, order.as_str())).unzip();
    let of_orders: [Parameter<'_>; 2] = [(&sites, Type::INT4_ARRAY), (&ids, Type::TEXT_ARRAY)];
    let taken = transaction.execute_typed(include_str!("sql/forget_customers.sql"), &of_orders).await?;
    if taken > 0 {
        let sql = include_str!("sql/forget_report_times.sql");
        let rows = transaction.query_typed(sql, &of_orders).await?;
        let times: Vec<Timestamp> = rows.iter().map(|row| row.get("at")).collect();
        let of_events: [Parameter<'_>; 3] =
            [(&sites, Type::INT4_ARRAY), (&ids, Type::TEXT_ARRAY), (&times, Type::TIMESTAMPTZ_ARRAY)];
        transaction.execute_typed(include_str!("sql/forget_untold_events.sql"), &of_events).await?;
    }
    Ok(taken)
}

async fn clear_quarantine(transaction: &Transaction<'_>, found: &Found) -> Result<u64, Error> {
    let ids = found.visitors.iter().chain(&found.sessions).map(|id| id.as_bytes().as_slice());
    let names: Vec<&[u8]> = ids.chain(found.customers.iter().map(Vec::as_slice)).collect();
    let parameters = [(&names as _, Type::BYTEA_ARRAY)];
    transaction.execute_typed(include_str!("sql/forget_quarantine.sql"), &parameters).await
}

/// Lists all ids of the person, so that what comes late is known.
async fn list(
    transaction: &Transaction<'_>,
    found: &Found,
    named: Option<Uuid>,
    erasure_id: Uuid,
) -> Result<(), Error> {
    let visitors = found.visitors.iter().copied().chain(named).collect::<BTreeSet<Uuid>>();
    let visitors = visitors.iter().map(|id| (id_hash(id.as_bytes()), VISITOR));
    let sessions = found.sessions.iter().map(|id| (id_hash(id.as_bytes()), SESSION));
    let customers = found.customers.iter().filter_map(|hash| {
        let hash = <&[u8; 16]>::try_from(hash.as_slice()).ok()?;
        Some((id_hash(hash), CUSTOMER))
    });
    let entries: Vec<(IdHash, i16)> = visitors.chain(sessions).chain(customers).collect();
    send!(transaction, "forgotten_add", entries, |(hash, kind)| {
        BYTEA_ARRAY: hash.as_slice(), INT2_ARRAY: kind, UUID_ARRAY: erasure_id,
    })
    .map(drop)
}

async fn keep_receipt(
    transaction: &Transaction<'_>,
    erasure: &Erasure,
    outcome: Outcome,
    erased: BTreeMap<&'static str, u64>,
    key: Option<[u8; KEY_BYTES]>,
) -> Result<Receipt, Error> {
    let at = i64::try_from(erasure.at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let at = at.unwrap_or_else(Timestamp::now);
    let rows = serde_json::json!(erased).to_string();
    let key = key.as_ref().map(<[u8; KEY_BYTES]>::as_slice);
    let parameters: [Parameter<'_>; 6] = [
        (&erasure.erasure_id, Type::UUID),
        (&erasure.subject.kind(), Type::TEXT),
        (&at, Type::TIMESTAMPTZ),
        (&outcome.word(), Type::TEXT),
        (&rows, Type::TEXT),
        (&key, Type::BYTEA),
    ];
    let row = transaction.query_typed_one(include_str!("sql/forget_receipt.sql"), &parameters).await?;
    Ok(Receipt { erasure_id: erasure.erasure_id, outcome, at: row.get("applied_at"), erased })
}
