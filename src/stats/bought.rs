//! What visitors ordered, whatever earned it: for reports that follow people.

use foldhash::{HashMap, HashMapExt};
use jiff::Timestamp;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::order_scan::{OrderChoices, scan_orders};
use crate::stats::scope::{Money, Scope};
use crate::stats::worth::{Worth, Worths};
use crate::store::order_columns::{MONEY, VISITORS};

/// An order of somebody who is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bought {
    /// As sessions have their visitors.
    pub(crate) visitor: i64,
    /// Microseconds since 1970.
    pub(crate) at: i64,
    /// Minor units; none where its value is not known, or it has no exchange rate.
    pub(crate) gross: Option<i64>,
    /// None where it has no exchange rate.
    pub(crate) revenue: Option<i64>,
}

/// Those placed between two instants, on the sites of a scope, of visitors that are wanted.
pub(crate) async fn bought(
    snapshot: &Snapshot,
    scope: &Scope,
    money: &Money,
    (from, to): (Option<Timestamp>, Timestamp),
    is_wanted: impl Fn(i64) -> bool,
) -> Result<Vec<Bought>, DatabaseError> {
    let scope = scope.of_sites(from, to);
    let choices = OrderChoices::of(snapshot, &scope, false, &[]).await?;
    let mut columns = choices.columns();
    columns.push(VISITORS);
    columns.extend(MONEY);
    let mut bought = Vec::new();
    let mut worths = Worths::of(money);
    let mut tell = |(visitor, at): &(i64, i64), worth: Option<Worth>| {
        bought.push(Bought {
            visitor: *visitor,
            at: *at,
            gross: worth.and_then(|worth| worth.gross).map(narrow),
            revenue: worth.map(|worth| narrow(worth.revenue)),
        });
    };
    scan_orders(snapshot, choices.window(), &columns, |day| {
        let choices = choices.of_day(day);
        for (order, visitor) in choices.of_visitors(&is_wanted) {
            worths.tell(day, order, &(visitor, choices.at(order)), &mut tell);
        }
    })
    .await?;
    worths.tell_rest(snapshot, &mut tell).await?;
    Ok(bought)
}

/// When the first of the orders before an instant was placed, of each visitor that is wanted.
pub(crate) async fn earlier(
    snapshot: &Snapshot,
    scope: &Scope,
    before: Timestamp,
    is_wanted: impl Fn(i64) -> bool,
) -> Result<HashMap<i64, Timestamp>, DatabaseError> {
    let scope = scope.of_sites(None, before);
    let choices = OrderChoices::of(snapshot, &scope, false, &[]).await?;
    let mut columns = choices.columns();
    columns.push(VISITORS);
    let mut earlier = HashMap::new();
    scan_orders(snapshot, choices.window(), &columns, |day| {
        for (order, visitor) in choices.of_day(day).of_visitors(&is_wanted) {
            let first = earlier.entry(visitor).or_insert(Timestamp::MAX);
            *first = day.placed_at(order).min(*first);
        }
    })
    .await?;
    Ok(earlier)
}

/// Nobody buys for more.
fn narrow(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}
