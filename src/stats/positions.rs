//! What was bought of each product in a scope: by the positions of orders, and of those without any by the purchases that name them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::AddAssign;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::order_scan::{Day, OrderChoices, scan_orders};
use crate::stats::scope::{Money, Scope};
use crate::stats::worth::{Worth, Worths};
use crate::store::order_columns::{Amount, BOUGHT, MONEY, Product};

/// What orders have of a product.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sold {
    /// Orders with it.
    pub(crate) purchases: i64,
    /// Pieces.
    pub(crate) quantity: Amount,
    /// Minor units of the report's currency; none where no price is known.
    pub(crate) revenue: Option<i128>,
}

impl AddAssign for Sold {
    fn add_assign(&mut self, other: Sold) {
        self.purchases += other.purchases;
        self.quantity = sum(self.quantity, other.quantity);
        if let Some(revenue) = other.revenue {
            let known = self.revenue.get_or_insert_default();
            *known = known.saturating_add(revenue);
        }
    }
}

/// With as many digits as the one that has more.
fn sum(one: Amount, other: Amount) -> Amount {
    let scale = one.scale.max(other.scale);
    let widened = |amount: Amount| amount.number.saturating_mul(10_i128.pow(scale - amount.scale));
    Amount { number: widened(one).saturating_add(widened(other)), scale }
}

/// A product that positions name.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) site: i64,
    /// The shop's.
    pub(crate) id: String,
    pub(crate) names: BTreeSet<String>,
    pub(crate) sold: Sold,
}

/// What was bought.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    pub(crate) named: Vec<Named>,
    /// The places of sites' ids in `named`.
    known: HashMap<i64, HashMap<String, usize>>,
    /// Orders without positions, by the keys of the products that purchases name.
    pub(crate) told: BTreeMap<i64, i64>,
    /// The sessions of orders, as `id_hash()` has them, with each product in `named`, and each key in `told`.
    pub(crate) named_by: Vec<(i64, usize)>,
    pub(crate) told_by: Vec<(i64, i64)>,
    /// Orders whose worth is not known.
    pub(crate) left_out: i64,
}

impl Positions {
    /// Those of the orders that something of what is asked about earned.
    pub(crate) async fn read(
        snapshot: &Snapshot,
        scope: &Scope,
        money: &Money,
    ) -> Result<Positions, DatabaseError> {
        let choices = OrderChoices::of_earned(snapshot, scope, money).await?;
        let mut columns = choices.columns();
        columns.extend(MONEY);
        columns.extend(BOUGHT);
        let (mut bought, mut worths) = (Positions::default(), Worths::of(money));
        let (mut touches, mut places) = (Vec::new(), Vec::new());
        scan_orders(snapshot, choices.window(), &columns, |day| {
            let choices = choices.of_day(day);
            places.clear();
            places.resize(day.orders.products().len(), None);
            for order in 0..day.orders.orders() {
                if choices.is_earned(order, &mut touches) {
                    bought.add(day, order, &mut places, &mut worths);
                }
            }
        })
        .await?;
        worths.tell_rest(snapshot, |product, worth| bought.earn(*product, worth)).await?;
        Ok(bought)
    }

    /// Adds an order; `places` has those of the day's products, as far as they are known.
    fn add(
        &mut self,
        day: &Day,
        order: usize,
        places: &mut [Option<usize>],
        worths: &mut Worths<'_, Option<usize>>,
    ) {
        let orders = &day.orders;
        let (buyer, amounts) = (orders.buyer(order), orders.amounts(order));
        worths.tell(day, order, &None, &mut |product, worth| self.earn(*product, worth));
        for position in orders.positions(order) {
            let place = places[position.product];
            let product = place.unwrap_or_else(|| self.place_of(&orders.products()[position.product]));
            places[position.product] = Some(product);
            self.named[product].sold += Sold { purchases: 1, quantity: position.quantity, revenue: None };
            self.named_by.extend(buyer.map(|buyer| (buyer, product)));
            if let Some(amount) = position.amount {
                let amounts = amounts.with_gross(amount);
                let mut tell = |product: &Option<usize>, worth| self.earn(*product, worth);
                worths.tell_so(day, order, amounts, &Some(product), &mut tell);
            }
        }
        for product in orders.told(order) {
            *self.told.entry(*product).or_default() += 1;
            self.told_by.extend(buyer.map(|buyer| (buyer, *product)));
        }
    }

    fn place_of(&mut self, product: &Product) -> usize {
        let of_site = self.known.entry(product.site).or_default();
        let place = of_site.get(&product.id).copied().unwrap_or_else(|| {
            of_site.insert(product.id.clone(), self.named.len());
            let (site, id) = (product.site, product.id.clone());
            self.named.push(Named { site, id, names: BTreeSet::new(), sold: Sold::default() });
            self.named.len() - 1
        });
        let names = &mut self.named[place].names;
        if let Some(name) = product.name.as_ref().filter(|name| !names.contains(*name)) {
            names.insert(name.clone());
        }
        place
    }

    /// Adds what a product earned, whose worth is in the place of the whole order's; without a product it is the order that is told.
    fn earn(&mut self, product: Option<usize>, worth: Option<Worth>) {
        match (product, worth) {
            (None, worth) => self.left_out += i64::from(worth.is_none()),
            (Some(product), Some(Worth { gross: Some(amount), revenue: 1.., .. })) => {
                self.named[product].sold += Sold { revenue: Some(amount), ..Sold::default() };
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_as_many_digits_as_the_most_exact_of_them() {
        let pieces = |number, scale| Amount { number, scale };
        assert_eq!(sum(pieces(2, 0), pieces(150, 2)), pieces(350, 2));
        assert_eq!(sum(Amount::default(), pieces(0, 1)), pieces(0, 1));
    }
}
