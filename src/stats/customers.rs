//! Customers: whoever any identifier of an order connects. Orders that share a phone, an e-mail, a user id or a visitor are
//! one customer's, also by way of others.

use crate::stats::crowd::Crowd;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::order_scan::{OrderChoices, scan_orders};
use crate::stats::scope::{Money, Scope};
use crate::store::order_columns::{Amounts, KEYS, NET, PAYMENTS, VISITORS};

/// An order of which something is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Purchase {
    /// Microseconds since 1970.
    pub(crate) at: i64,
    /// It is of the window and passes the filters.
    pub(crate) chosen: bool,
}

/// The purchases of each customer, by time, and how many of the window nobody is known of.
#[derive(Debug, Default)]
pub(crate) struct Customers {
    purchases: Vec<Purchase>,
    /// Where the purchases of each end; of those that became one customer with another nothing is there.
    ends: Vec<usize>,
    of_nobody: i64,
}

impl Customers {
    /// All of them up to the end of the window.
    pub(crate) async fn read(
        snapshot: &Snapshot,
        scope: &Scope,
        money: &Money,
    ) -> Result<Customers, DatabaseError> {
        let choices = OrderChoices::of_earned(snapshot, scope, money).await?;
        let mut columns = choices.columns();
        columns.extend([VISITORS, KEYS]);
        columns.extend(if money.is_as_paid() { &PAYMENTS[..] } else { &NET });
        let ((_, end), (_, last)) = (scope.window(), choices.window());
        let end = end.as_microsecond();
        let (mut known, mut touches) = (Known::default(), Vec::new());
        scan_orders(snapshot, (None, last), &columns, |day| {
            let (choices, orders) = (choices.of_day(day), &day.orders);
            for order in 0..orders.orders() {
                if !choices.is_of_sites(order) || !is_purchase(orders.amounts(order), money.is_as_paid()) {
                    continue;
                }
                let chosen = choices.is_earned(order, &mut touches);
                let purchase = Purchase { at: day.placed_at(order).as_microsecond(), chosen };
                if purchase.chosen || purchase.at < end {
                    known.add(purchase, orders.keys(order).iter().copied().chain(orders.visitor(order)));
                }
            }
        })
        .await?;
        Ok(known.customers())
    }

    /// The purchases of one customer after the other.
    pub(crate) fn each(&self) -> impl Iterator<Item = &[Purchase]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        let each = begins.zip(&self.ends).map(|(begin, end)| &self.purchases[begin..*end]);
        each.filter(|purchases| !purchases.is_empty())
    }

    /// What the reader must know.
    pub(crate) fn warning(&self) -> Option<String> {
        (self.of_nobody > 0).then(|| {
            let orders = if self.of_nobody == 1 { "order names" } else { "orders name" };
            format!("{} {orders} no customer and no visitor: left out", self.of_nobody)
        })
    }
}

/// Whether something is left of an order: net, or what was paid and not refunded. Orders whose value nobody told are purchases, too.
fn is_purchase(amounts: Amounts, as_paid: bool) -> bool {
    if as_paid { amounts.paid > amounts.refunded } else { amounts.net.is_none_or(|net| net > 0) }
}

/// What is known of purchases: whose they are, by keys that several may share.
#[derive(Debug, Default)]
struct Known {
    purchases: Vec<Purchase>,
    /// A key, and the place of a purchase that has it.
    keys: Crowd,
    of_nobody: i64,
}

impl Known {
    fn add(&mut self, purchase: Purchase, keys: impl Iterator<Item = i64>) {
        let place = u32::try_from(self.purchases.len()).unwrap_or(u32::MAX);
        let mut is_of_nobody = true;
        for key in keys {
            self.keys.add((key, place));
            is_of_nobody = false;
        }
        if is_of_nobody {
            self.of_nobody += i64::from(purchase.chosen);
        } else {
            self.purchases.push(purchase);
        }
    }

    fn customers(self) -> Customers {
        let mut groups = Groups::of(self.purchases.len());
        for share in self.keys.once_each(|place| place) {
            for pair in share.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
                groups.join(pair[0].1 as usize, pair[1].1 as usize);
            }
        }
        let customers: Vec<usize> = (0..self.purchases.len()).map(|place| groups.root(place)).collect();
        let mut ends = vec![0; customers.len()];
        customers.iter().for_each(|customer| ends[*customer] += 1);
        let mut begin = 0;
        for end in &mut ends {
            (*end, begin) = (begin, begin + *end);
        }
        let mut purchases = vec![Purchase::default(); customers.len()];
        for (customer, purchase) in customers.iter().zip(self.purchases) {
            let end = &mut ends[*customer];
            purchases[*end] = purchase;
            *end += 1;
        }
        let mut begin = 0;
        for end in &ends {
            // Purchases of one time stay in their order.
            purchases[begin..*end].sort_by_key(|purchase| purchase.at);
            begin = *end;
        }
        Customers { purchases, ends, of_nobody: self.of_nobody }
    }
}

/// Disjoint sets.
#[derive(Debug)]
struct Groups {
    parents: Vec<usize>,
}

impl Groups {
    /// So many, each by itself.
    fn of(count: usize) -> Groups {
        Groups { parents: (0..count).collect() }
    }

    /// Makes what these two are in one.
    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.parents[other] = one;
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
        let mut known = Known::default();
        for (at, chosen, keys) in [
            (3, true, &[1, 2][..]),
            (2, false, &[3]),
            (5, true, &[4]),
            (4, true, &[]),
            (1, false, &[2, 3]),
            (1, true, &[3]),
        ] {
            known.add(Purchase { at, chosen }, keys.iter().copied());
        }
        let customers = known.customers();
        let mut each: Vec<Vec<(i64, bool)>> = customers
            .each()
            .map(|purchases| purchases.iter().map(|one| (one.at, one.chosen)).collect())
            .collect();
        each.sort_by_key(Vec::len);
        assert_eq!(each, [vec![(5, true)], vec![(1, false), (1, true), (2, false), (3, true)]]);
        assert_eq!(customers.of_nobody, 1);
    }
}
