//! Customers: whoever any identifier of an order connects. Orders that share a phone, an e-mail, a user id or a visitor are
//! one customer's, also by way of others.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::scope::{Money, Scope};

/// An order of which something is left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purchase {
    pub(crate) at: Timestamp,
    /// It is of the window and passes the filters.
    pub(crate) chosen: bool,
}

/// The purchases of each customer, by time, and how many of the window nobody is known of.
#[derive(Debug, Default)]
pub(crate) struct Customers {
    pub(crate) purchases: Vec<Vec<Purchase>>,
    pub(crate) of_nobody: i64,
}

impl Customers {
    /// All of them up to the end of the window.
    pub(crate) async fn read(
        snapshot: &Snapshot,
        scope: &Scope,
        money: &Money,
    ) -> Result<Customers, DatabaseError> {
        let mut parameters = scope.parameters();
        parameters.extend(money.parameters());
        let rows = snapshot.rows(include_str!("sql/customer_orders.sql"), &parameters).await?;
        let mut customers = Customers::default();
        let mut groups = Groups::default();
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let purchase = Purchase { at: row.try_get("placed_at")?, chosen: row.try_get("chosen")? };
            let keys: Vec<&[u8]> = row.try_get("keys")?;
            match groups.join(&keys) {
                Some(group) => found.push((group, purchase)),
                None => customers.of_nobody += i64::from(purchase.chosen),
            }
        }
        let mut by_customer: HashMap<usize, Vec<Purchase>> = HashMap::new();
        for (group, purchase) in found {
            by_customer.entry(groups.root(group)).or_default().push(purchase);
        }
        customers.purchases = by_customer.into_values().collect();
        Ok(customers)
    }

    /// What the reader must know.
    pub(crate) fn warning(&self) -> Option<String> {
        (self.of_nobody > 0).then(|| {
            let orders = if self.of_nobody == 1 { "order names" } else { "orders name" };
            format!("{} {orders} no customer and no visitor: left out", self.of_nobody)
        })
    }
}

/// Disjoint sets of keys.
#[derive(Debug, Default)]
struct Groups {
    by_key: HashMap<Vec<u8>, usize>,
    parents: Vec<usize>,
}

impl Groups {
    /// Makes these keys one group, with all that any of them was in; none without keys.
    fn join(&mut self, keys: &[&[u8]]) -> Option<usize> {
        let mut joined = None;
        for key in keys {
            let group = match self.by_key.get(*key) {
                Some(group) => *group,
                None => {
                    let group = self.parents.len();
                    self.parents.push(group);
                    self.by_key.insert(key.to_vec(), group);
                    group
                }
            };
            let root = self.root(group);
            match joined {
                None => joined = Some(root),
                Some(other) => self.parents[root] = other,
            }
        }
        joined
    }

    fn root(&mut self, mut group: usize) -> usize {
        while self.parents[group] != group {
            // Halves the way for those who come after.
            self.parents[group] = self.parents[self.parents[group]];
            group = self.parents[group];
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_connect_by_way_of_others() {
        let mut groups = Groups::default();
        let first = groups.join(&[b"phone", b"mail"]).unwrap();
        let second = groups.join(&[b"user"]).unwrap();
        assert_ne!(groups.root(first), groups.root(second));
        groups.join(&[b"user", b"mail"]).unwrap();
        assert_eq!(groups.root(first), groups.root(second));
        assert_eq!(groups.join(&[]), None);
    }
}
