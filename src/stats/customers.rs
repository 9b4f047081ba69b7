//! Customers: whoever any identifier of an order connects. Orders that share a phone, an e-mail, a user id or a visitor are
//! one customer's, also by way of others.

use jiff::Timestamp;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::order_scan::{OrderChoices, scan_orders};
use crate::stats::scope::{Money, Scope};
use crate::store::order_columns::{Amounts, KEYS, VISITORS};

/// An order of which something is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        // Where nothing is asked of touches, credits are not looked at.
        let models = [money.model()];
        let models: &[&str] = if scope.is_filtered() { &models } else { &[] };
        let choices = OrderChoices::of(snapshot, scope, money.is_by_session(), models).await?;
        let mut columns = choices.columns();
        columns.extend([VISITORS, KEYS]);
        let ((_, end), (_, last)) = (scope.window(), choices.window());
        let (mut known, mut touches) = (Known::default(), Vec::new());
        scan_orders(snapshot, (None, last), &columns, |day| {
            let (choices, orders) = (choices.of_day(day), &day.orders);
            for order in 0..orders.orders() {
                if !choices.is_of_sites(order) || !is_purchase(orders.amounts(order), money.is_as_paid()) {
                    continue;
                }
                let mut chosen = choices.choose(order);
                if chosen {
                    touches.clear();
                    choices.touches(0, order, &mut touches);
                    chosen = touches.iter().any(|(label, credit)| label.is_some() && *credit > 0);
                }
                let purchase = Purchase { at: day.placed_at(order), chosen };
                if purchase.chosen || purchase.at < end {
                    known.add(purchase, orders.keys(order).iter().copied().chain(orders.visitor(order)));
                }
            }
        })
        .await?;
        Ok(known.customers())
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
    keys: Vec<(i64, usize)>,
    of_nobody: i64,
}

impl Known {
    /// Purchases of one time are told in their order.
    fn add(&mut self, purchase: Purchase, keys: impl Iterator<Item = i64>) {
        let before = self.keys.len();
        self.keys.extend(keys.map(|key| (key, self.purchases.len())));
        if self.keys.len() == before {
            self.of_nobody += i64::from(purchase.chosen);
        } else {
            self.purchases.push(purchase);
        }
    }

    fn customers(mut self) -> Customers {
        let mut groups = Groups::of(self.purchases.len());
        self.keys.sort_unstable();
        for pair in self.keys.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            groups.join(pair[0].1, pair[1].1);
        }
        let mut order: Vec<usize> = (0..self.purchases.len()).collect();
        order.sort_by_key(|purchase| self.purchases[*purchase].at);
        let mut places = vec![None; self.purchases.len()];
        let mut purchases = Vec::<Vec<Purchase>>::new();
        for purchase in order {
            let place = *places[groups.root(purchase)].get_or_insert_with(|| {
                purchases.push(Vec::new());
                purchases.len() - 1
            });
            purchases[place].push(self.purchases[purchase]);
        }
        Customers { purchases, of_nobody: self.of_nobody }
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
        let at = |second| Timestamp::from_second(second).unwrap();
        let purchase = |second, chosen| Purchase { at: at(second), chosen };
        let mut known = Known::default();
        known.add(purchase(3, true), [1, 2].into_iter());
        known.add(purchase(2, false), [3].into_iter());
        known.add(purchase(5, true), [4].into_iter());
        known.add(purchase(4, true), [].into_iter());
        known.add(purchase(1, false), [2, 3].into_iter());
        known.add(purchase(1, true), [3].into_iter());
        let mut customers = known.customers();
        customers.purchases.sort_by_key(Vec::len);
        let first = [(1, false), (1, true), (2, false), (3, true)];
        assert_eq!(customers.purchases[0], [purchase(5, true)]);
        assert_eq!(customers.purchases[1], first.map(|(second, chosen)| purchase(second, chosen)));
        assert_eq!((customers.purchases.len(), customers.of_nobody), (2, 1));
    }
}
