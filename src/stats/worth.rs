//! What orders are worth in a report's currency, in whole minor units: each amount is rounded once, order by order, and divided among
//! touches by largest remainder (ties: the earlier touch), so that all sums of parts agree.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::order_scan::{Day, WHOLE};
use crate::stats::scope::Money;
use crate::store::order_columns::Amounts;

/// Orders in other currencies whose rates are asked for at a time.
const PORTION: usize = 10_000;

/// Decimal text of minor units.
pub(crate) fn text(amount: i128, digits: usize) -> String {
    let number = format!("{:0>1$}", amount.unsigned_abs(), digits + 1);
    let (whole, rest) = number.split_at(number.len() - digits);
    let (sign, point) = (if amount < 0 { "-" } else { "" }, if digits > 0 { "." } else { "" });
    format!("{sign}{whole}{point}{rest}")
}

/// Minor units as a number.
pub(crate) fn decimal(amount: i128, digits: usize) -> Decimal {
    let digits = u32::try_from(digits).unwrap_or(2);
    let most = Decimal::from_i128_with_scale(Decimal::MAX.mantissa(), digits);
    Decimal::try_from_i128_with_scale(amount, digits).unwrap_or(if amount < 0 { -most } else { most })
}

/// Halves away from zero, as Postgres rounds; `by` is positive.
pub(crate) fn rounded(amount: i128, by: i128) -> i128 {
    let whole = amount / by;
    let rest = amount - whole * by;
    whole + if rest.abs() >= by - rest.abs() { amount.signum() } else { 0 }
}

/// What an order is worth in the report's currency, in minor units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worth {
    pub(crate) gross: Option<i128>,
    pub(crate) paid: i128,
    pub(crate) refunded: i128,
    pub(crate) revenue: i128,
}

impl Worth {
    fn of(amounts: Amounts, digits: u32, as_paid: bool) -> Worth {
        let turned =
            |amount: i128| match (amounts.scale.checked_sub(digits), digits.checked_sub(amounts.scale)) {
                (Some(beyond @ 1..), _) => rounded(amount, 10_i128.pow(beyond)),
                (_, missing) => amount.saturating_mul(10_i128.pow(missing.unwrap_or(0))),
            };
        Worth {
            gross: amounts.gross.map(turned),
            paid: turned(amounts.paid),
            refunded: turned(amounts.refunded),
            revenue: turned(revenue(amounts, as_paid)),
        }
    }

    /// What the database says; none where it knows no rate.
    fn read(row: &Row, digits: u32) -> Result<Option<Worth>, tokio_postgres::Error> {
        let amount = |name: &str| -> Result<Option<i128>, tokio_postgres::Error> {
            let amount: Option<Decimal> = row.try_get(name)?;
            Ok(amount.map(|amount| minor(amount, digits)))
        };
        let told = (row.try_get("counted")?, amount("paid")?, amount("refunded")?, amount("revenue")?);
        let (true, Some(paid), Some(refunded), Some(revenue)) = told else { return Ok(None) };
        Ok(Some(Worth { gross: amount("gross")?, paid, refunded, revenue }))
    }

    /// What each of some credits gets: gross, paid, refunded, revenue.
    pub(crate) fn divided(&self, credits: &[i64], parts: &mut Vec<[i128; 4]>) {
        parts.clear();
        parts.resize(credits.len(), [0; 4]);
        let amounts = [self.gross.unwrap_or(0), self.paid, self.refunded, self.revenue];
        let whole = i128::from(WHOLE);
        if let [WHOLE] = credits {
            parts[0] = amounts;
            return;
        }
        let shared = |credit: &i64| (1..WHOLE).contains(credit);
        let mut turns: Vec<(i128, usize)> = Vec::with_capacity(credits.len());
        for (which, amount) in amounts.into_iter().enumerate() {
            let mut left = amount;
            turns.clear();
            for (touch, credit) in credits.iter().enumerate() {
                let share = amount.saturating_mul(i128::from(*credit));
                parts[touch][which] = share.div_euclid(whole);
                if shared(credit) {
                    left -= parts[touch][which];
                    turns.push((-share.rem_euclid(whole), touch));
                }
            }
            turns.sort_unstable();
            let more = usize::try_from(left).unwrap_or(0);
            turns.iter().take(more).for_each(|(_, touch)| parts[*touch][which] += 1);
        }
    }
}

/// What of an order counts as revenue, in its own currency.
fn revenue(amounts: Amounts, as_paid: bool) -> i128 {
    if as_paid { amounts.paid.saturating_sub(amounts.refunded) } else { amounts.net.unwrap_or(0) }
}

/// Says of one order after the other what it is worth; of those in another currency when all are read, since their rates are asked for
/// together. `T` is what is to be known of them then.
pub(crate) struct Worths<'a, T> {
    money: &'a Money,
    digits: u32,
    foreign: Vec<Foreign<T>>,
}

struct Foreign<T> {
    what: T,
    currency: String,
    placed_at: Timestamp,
    amounts: Amounts,
}

impl<'a, T: Clone> Worths<'a, T> {
    pub(crate) fn of(money: &'a Money) -> Worths<'a, T> {
        let digits = u32::try_from(money.minor_units()).unwrap_or(2);
        Worths { money, digits, foreign: Vec::new() }
    }

    /// Tells an order, now or later; without a worth where no rate is known.
    pub(crate) fn tell(
        &mut self,
        day: &Day,
        order: usize,
        what: &T,
        tell: &mut impl FnMut(&T, Option<Worth>),
    ) {
        self.tell_so(day, order, day.orders.amounts(order), what, tell);
    }

    /// The same with other amounts than an order has.
    pub(crate) fn tell_so(
        &mut self,
        day: &Day,
        order: usize,
        amounts: Amounts,
        what: &T,
        tell: &mut impl FnMut(&T, Option<Worth>),
    ) {
        let currency = day.orders.currency(order);
        match (currency, self.money.day_zone()) {
            (Some(other), Some(_)) if currency != self.money.currency() => self.foreign.push(Foreign {
                what: what.clone(),
                currency: other.to_owned(),
                placed_at: day.placed_at(order),
                amounts,
            }),
            (Some(_), None) if currency != self.money.currency() => tell(what, None),
            _ => tell(what, Some(Worth::of(amounts, self.digits, self.money.is_as_paid()))),
        }
    }

    /// Tells those that are left.
    pub(crate) async fn tell_rest(
        self,
        snapshot: &Snapshot,
        mut tell: impl FnMut(&T, Option<Worth>),
    ) -> Result<(), DatabaseError> {
        let (currency, zone) = (self.money.currency(), self.money.day_zone());
        let digits = i32::try_from(self.digits).unwrap_or(2);
        let as_paid = self.money.is_as_paid();
        for portion in self.foreign.chunks(PORTION) {
            let currencies: Vec<&str> = portion.iter().map(|one| one.currency.as_str()).collect();
            let times: Vec<Timestamp> = portion.iter().map(|one| one.placed_at).collect();
            let column = |of: &dyn Fn(Amounts) -> Option<i128>| -> Vec<Option<Decimal>> {
                let number = |one: &Foreign<T>| Some(exact(of(one.amounts)?, one.amounts.scale));
                portion.iter().map(number).collect()
            };
            let columns = [
                column(&|amounts| amounts.gross),
                column(&|amounts| Some(amounts.paid)),
                column(&|amounts| Some(amounts.refunded)),
                column(&|amounts| Some(revenue(amounts, as_paid))),
            ];
            let mut parameters =
                vec![(&currencies as _, Type::TEXT_ARRAY), (&times as _, Type::TIMESTAMPTZ_ARRAY)];
            parameters.extend(columns.iter().map(|column| (column as _, Type::NUMERIC_ARRAY)));
            parameters.extend([
                (&currency as _, Type::TEXT),
                (&digits as _, Type::INT4),
                (&zone as _, Type::TEXT),
            ]);
            let rows = snapshot.rows(include_str!("sql/worths.sql"), &parameters).await?;
            for (one, row) in portion.iter().zip(&rows) {
                tell(&one.what, Worth::read(row, self.digits)?);
            }
        }
        Ok(())
    }
}

/// An amount with as many of its digits as there is room for.
fn exact(mut amount: i128, mut scale: u32) -> Decimal {
    loop {
        match (Decimal::try_from_i128_with_scale(amount, scale), scale.checked_sub(1)) {
            (Ok(exact), _) => return exact,
            (Err(_), Some(less)) => (amount, scale) = (amount / 10, less),
            (Err(_), None) if amount < 0 => return Decimal::MIN,
            (Err(_), None) => return Decimal::MAX,
        }
    }
}

/// Minor units of an amount that is rounded to them.
fn minor(mut amount: Decimal, digits: u32) -> i128 {
    amount.rescale(digits);
    amount.mantissa()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_go_away_from_zero() {
        let rounded: Vec<i128> = [-15, -14, -5, -4, 0, 4, 5, 14, 15].map(|amount| rounded(amount, 10)).into();
        assert_eq!(rounded, [-2, -1, -1, 0, 0, 0, 1, 1, 2]);
    }

    #[test]
    fn amounts_are_told_in_minor_units() {
        assert_eq!([text(1250, 2), text(-5, 2), text(7, 0), text(0, 3)], ["12.50", "-0.05", "7", "0.000"]);
    }

    proptest! {
        #[test]
        fn what_touches_get_is_the_whole(
            gross in -100_000i128..100_000, weights in prop::collection::vec(1i64..9, 1..6),
        ) {
            let sum: i64 = weights.iter().sum();
            let mut credits: Vec<i64> = weights.iter().map(|weight| WHOLE * weight / sum).collect();
            credits[0] += WHOLE - credits.iter().sum::<i64>();
            let worth = Worth { gross: Some(gross), paid: gross / 2, refunded: 0, revenue: -gross };
            let mut parts = Vec::new();
            worth.divided(&credits, &mut parts);
            for (which, whole) in [gross, gross / 2, 0, -gross].into_iter().enumerate() {
                prop_assert_eq!(parts.iter().map(|part| part[which]).sum::<i128>(), whole);
                for (part, credit) in parts.iter().zip(&credits) {
                    let share = whole * i128::from(*credit);
                    prop_assert!((part[which] * i128::from(WHOLE) - share).abs() < i128::from(WHOLE));
                }
            }
        }
    }
}
