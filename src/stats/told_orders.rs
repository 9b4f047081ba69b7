//! The orders that advertising platforms are told of. Which they are is read column by column, as reports of money read orders; what
//! is told of each is looked up for many of them at a time, in the months that can have a click that counts.

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::types::Type;

use crate::stats::database::{DatabaseError, Parameter, Snapshot};
use crate::stats::order_scan::{OrderChoices, scan_orders};
use crate::stats::params::Params;
use crate::stats::scope::{Money, Scope};

/// Orders of a portion.
const PORTION: usize = 20_000;

/// From the first of them to the last.
const LONGEST: SignedDuration = SignedDuration::from_hours(31 * 24);

/// How long before an order a click counts.
const LOOKBACK: SignedDuration = SignedDuration::from_hours(90 * 24);

/// How far a click may be from the hour of its session: two days leave room for one whose first hits were lost.
const OF_SESSION: SignedDuration = SignedDuration::from_hours(48);

/// Those of a report that are still to be told, by time.
#[derive(Debug)]
pub(crate) struct ToldOrders {
    /// When each was placed, microseconds since 1970, and which of those of that time it is, by site and id.
    orders: Vec<(i64, i64)>,
    next: usize,
}

/// Some of them.
#[derive(Debug, Default)]
pub(crate) struct Portion {
    times: Vec<Timestamp>,
    turns: Vec<i64>,
    first: Timestamp,
    last: Timestamp,
    /// The hours of sessions that may have a click that counts.
    hours: (Timestamp, Timestamp),
}

impl ToldOrders {
    /// Those that a request asks about.
    pub(crate) async fn of(
        snapshot: &Snapshot,
        params: &Params,
        money: &Money,
    ) -> Result<ToldOrders, DatabaseError> {
        let scope = Scope::of(params);
        let choices = OrderChoices::of_earned(snapshot, &scope, money).await?;
        let (mut orders, mut touches) = (Vec::new(), Vec::new());
        scan_orders(snapshot, choices.window(), &choices.columns(), |day| {
            let choices = choices.of_day(day);
            let (mut time, mut turn) = (i64::MIN, 0);
            for order in 0..day.orders.orders() {
                let at = day.placed_at(order).as_microsecond();
                turn = if at == time { turn + 1 } else { 1 };
                time = at;
                if choices.is_earned(order, &mut touches) {
                    orders.push((at, turn));
                }
            }
        })
        .await?;
        orders.sort_unstable();
        Ok(ToldOrders { orders, next: 0 })
    }

    fn take(&mut self) -> Option<&[(i64, i64)]> {
        let left = &self.orders[self.next..];
        let (first, _) = left.first()?;
        let end = first.saturating_add(i64::try_from(LONGEST.as_micros()).unwrap_or(i64::MAX));
        let count = left.iter().take(PORTION).take_while(|(at, _)| *at <= end).count();
        self.next += count;
        Some(&left[..count])
    }
}

impl Iterator for ToldOrders {
    type Item = Portion;

    fn next(&mut self) -> Option<Portion> {
        let orders = self.take()?;
        let at = |order: &(i64, i64)| Timestamp::from_microsecond(order.0).unwrap_or_default();
        let (first, last) = (at(orders.first()?), at(orders.last()?));
        let begin = first.checked_sub(LOOKBACK + OF_SESSION).unwrap_or(Timestamp::MIN);
        let end = last.checked_add(OF_SESSION).unwrap_or(Timestamp::MAX);
        Some(Portion {
            times: orders.iter().map(at).collect(),
            turns: orders.iter().map(|(_, turn)| *turn).collect(),
            first,
            last,
            hours: (begin, end),
        })
    }
}

impl Portion {
    /// `$1`–`$6`, as `sql/export_google.sql` has them.
    pub(crate) fn parameters(&self) -> Vec<Parameter<'_>> {
        vec![
            (&self.times, Type::TIMESTAMPTZ_ARRAY),
            (&self.turns, Type::INT8_ARRAY),
            (&self.first, Type::TIMESTAMPTZ),
            (&self.last, Type::TIMESTAMPTZ),
            (&self.hours.0, Type::TIMESTAMPTZ),
            (&self.hours.1, Type::TIMESTAMPTZ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_have_all_orders_once_and_span_a_month_at_most() {
        let day = 86_400_000_000;
        let many = (0..50_000).map(|number| (number / 7, number % 7 + 1));
        let few = (1..40).map(|number| (number * 10 * day, 1));
        let orders: Vec<(i64, i64)> = many.chain(few).collect();
        let told = ToldOrders { orders: orders.clone(), next: 0 };
        let mut given = Vec::new();
        for portion in told {
            assert!(portion.times.len() <= PORTION && portion.last.duration_since(portion.first) <= LONGEST);
            let times = portion.times.iter().map(|time| time.as_microsecond());
            given.extend(times.zip(portion.turns));
        }
        assert_eq!(given, orders);
    }
}
