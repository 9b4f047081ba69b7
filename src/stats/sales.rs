//! Orders of a window: each is told once, with what every touch that earned it and passes the filters adds.
//!
//! An order counts by its credits, millionths, which add up to one order. What touches get of its worth (`worth.rs`) adds up to all of it.

use std::ops::AddAssign;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::order_scan::{Day, DayChoices, Label, OrderChoices, WHOLE, scan_orders};
use crate::stats::scope::{Money, Scope};
use crate::stats::worth::{Worth, Worths, rounded, text};
use crate::store::order_columns::{FIRST_TOUCHES, IDS, MONEY, OrderId};

/// What a report wants to know of each order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// Models by which it is told who earned it; each is told by itself. Without any it is told whole, as if by one.
    pub(crate) models: &'a [&'a str],
    /// What its session says of the visitor.
    pub(crate) id: Option<OrderId>,
    /// How long it was since the first touch.
    pub(crate) first_touch: bool,
}

/// An order.
#[derive(Debug, Default)]
pub(crate) struct Sale {
    /// When it was placed, or with `date_basis=session` when its session began: microseconds since 1970.
    pub(crate) at: i64,
    /// The id that was wanted.
    pub(crate) id: Option<i64>,
    /// Microseconds from its first touch to its placing, where that was wanted and is known.
    pub(crate) since_touch: Option<i64>,
    /// By each model that was wanted: the touches that pass, in their order, and what each adds.
    pub(crate) earned: Vec<Vec<(Label, Sales)>>,
}

impl Sale {
    /// What all that passes adds.
    pub(crate) fn all(&self) -> Sales {
        let mut all = Sales::default();
        self.earned.iter().flatten().for_each(|(_, adds)| all += *adds);
        all
    }
}

/// What orders add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sales {
    /// Millionths, as all that counts orders.
    pub(crate) orders: i64,
    pub(crate) paid_orders: i64,
    /// Of orders whose value is known.
    pub(crate) valued_orders: i64,
    /// Orders, whole, that have no rate.
    pub(crate) left_out: i64,
    /// Minor units of the report's currency.
    pub(crate) gross: i128,
    pub(crate) paid: i128,
    pub(crate) refunds: i128,
    pub(crate) revenue: i128,
}

impl AddAssign for Sales {
    fn add_assign(&mut self, other: Sales) {
        self.orders += other.orders;
        self.paid_orders += other.paid_orders;
        self.valued_orders += other.valued_orders;
        self.left_out += other.left_out;
        self.gross += other.gross;
        self.paid += other.paid;
        self.refunds += other.refunds;
        self.revenue += other.revenue;
    }
}

impl Sales {
    /// Gross for each order whose value is known.
    pub(crate) fn average(&self, digits: usize) -> Option<String> {
        let orders = i128::from(self.valued_orders);
        (orders != 0).then(|| text(rounded(self.gross * i128::from(WHOLE), orders), digits))
    }
}

/// An order that is told: all but for its worth.
#[derive(Debug, Clone, Default)]
struct Chosen {
    at: i64,
    id: Option<i64>,
    since_touch: Option<i64>,
    is_paid: bool,
    /// By model: of each touch what it is, unless it does not pass, and its credit.
    models: Vec<Vec<(Option<Label>, i64)>>,
}

impl Chosen {
    fn read(&mut self, day: &Day, choices: &DayChoices<'_>, order: usize, wanted: Wanted<'_>) {
        self.at = choices.at(order);
        self.id = wanted.id.and_then(|of| day.orders.ids(of).of(order));
        self.since_touch = day.orders.first_touch(order).map(|touch| day.orders.start(order) - touch);
        self.is_paid = day.orders.amounts(order).paid > 0;
        for (model, touches) in self.models.iter_mut().enumerate() {
            touches.clear();
            choices.touches(model, order, touches);
        }
    }

    /// Makes the sale this one; what is of one before goes.
    fn make(&self, sale: &mut Sale, worth: Option<Worth>, room: &mut Room) {
        (sale.at, sale.id, sale.since_touch) = (self.at, self.id, self.since_touch);
        sale.earned.resize_with(self.models.len(), Vec::new);
        for (touches, earned) in self.models.iter().zip(&mut sale.earned) {
            room.credits.clear();
            room.credits.extend(touches.iter().map(|(_, credit)| *credit));
            match worth {
                Some(worth) => worth.divided(&room.credits, &mut room.parts),
                None => {
                    room.parts.clear();
                    room.parts.resize(touches.len(), [0; 4]);
                }
            }
            earned.clear();
            for (touch, (label, credit)) in touches.iter().enumerate() {
                let Some(label) = *label else { continue };
                let [gross, paid, refunds, revenue] = room.parts[touch];
                let adds = Sales {
                    orders: *credit,
                    paid_orders: if self.is_paid { *credit } else { 0 },
                    valued_orders: if worth.is_some_and(|worth| worth.gross.is_some()) { *credit } else { 0 },
                    left_out: i64::from(worth.is_none() && touch == 0),
                    gross,
                    paid,
                    refunds,
                    revenue,
                };
                earned.push((label, adds));
            }
        }
    }
}

/// Room that is used again.
#[derive(Debug, Default)]
struct Room {
    credits: Vec<i64>,
    parts: Vec<[i128; 4]>,
}

/// Tells every order of a scope.
pub(crate) async fn sales(
    snapshot: &Snapshot,
    scope: &Scope,
    money: &Money,
    wanted: Wanted<'_>,
    mut tell: impl FnMut(&Sale),
) -> Result<(), DatabaseError> {
    let choices = OrderChoices::of(snapshot, scope, money.is_by_session(), wanted.models).await?;
    let mut columns = choices.columns();
    columns.extend(MONEY);
    columns.extend(wanted.id.map(|of| IDS[of as usize]));
    columns.extend(wanted.first_touch.then_some(FIRST_TOUCHES));
    let models = vec![Vec::new(); wanted.models.len().max(1)];
    let mut chosen = Chosen { models, ..Chosen::default() };
    let (mut sale, mut room) = (Sale::default(), Room::default());
    let mut tell = |chosen: &Chosen, worth| {
        chosen.make(&mut sale, worth, &mut room);
        tell(&sale);
    };
    let mut worths = Worths::of(money);
    scan_orders(snapshot, choices.window(), &columns, |day| {
        let choices = choices.of_day(day);
        for order in choices.chosen() {
            chosen.read(day, &choices, order, wanted);
            worths.tell(day, order, &chosen, &mut tell);
        }
    })
    .await?;
    worths.tell_rest(snapshot, tell).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_is_of_orders_whose_value_is_known() {
        let sales = Sales { gross: 1001, valued_orders: 3_000_000, ..Sales::default() };
        assert_eq!((sales.average(2), Sales::default().average(2)), (Some("3.34".to_owned()), None));
    }
}
