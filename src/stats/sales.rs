//! Orders of a window, read column by column (`migrations/V31__order_columns.sql`): each is told once for every touch that earned it
//! and passes the filters, with what it adds. Orders whose day, or whose session's hour, has a mark are read as they are.
//!
//! An order counts by its credits, millionths, which add up to one order. Amounts are rounded to minor units of the report's
//! currency, order by order, and divided among touches by largest remainder (ties: the earlier touch): all sums of them agree.

use std::collections::{BTreeMap, HashSet};
use std::ops::AddAssign;
use std::pin::pin;

use futures_util::TryStreamExt;
use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::types::Type;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::groups::{GroupKey, keys};
use crate::stats::scan::Choices;
use crate::stats::scope::{Money, Scope};
use crate::store::columns::{Id, day_of};
use crate::store::order_columns::{Amounts, IDS, MODELS, ORDER_ROWS, OrderId, Orders, flags, hour_number};

/// An order.
const WHOLE: i64 = 1_000_000;
/// Orders in other currencies whose rates are asked for at a time.
const PORTION: usize = 10_000;
/// Microseconds.
const HOUR: i64 = 3_600_000_000;

/// What a report wants to know of each order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// Models by which it is told who earned it; each is told by itself. Without any it is told whole, once.
    pub(crate) models: &'a [&'a str],
    /// What its session says of the visitor.
    pub(crate) id: Option<OrderId>,
}

/// An order, or the part of it that a touch earned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sale {
    /// When it was placed, or with `date_basis=session` when its session began: microseconds since 1970.
    pub(crate) at: i64,
    /// The id that was wanted.
    pub(crate) id: Option<i64>,
    /// The place of the model among those wanted.
    pub(crate) model: usize,
    pub(crate) label: Label,
    pub(crate) adds: Sales,
}

/// What earned an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Label {
    Untracked,
    Direct,
    Campaign(i64),
}

impl Label {
    /// Their groups.
    pub(crate) async fn keys(
        labels: &[Label],
        snapshot: &Snapshot,
        dimension: &str,
    ) -> Result<Vec<GroupKey>, DatabaseError> {
        let id = |label: &Label| match label {
            Label::Campaign(id) => Some(*id),
            Label::Direct | Label::Untracked => None,
        };
        let ids: Vec<Option<i64>> = labels.iter().map(id).collect();
        let are_known: Vec<bool> = labels.iter().map(|label| *label != Label::Untracked).collect();
        keys(snapshot, dimension, &ids, &are_known).await
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

/// Decimal text of minor units.
pub(crate) fn text(amount: i128, digits: usize) -> String {
    decimal(amount, digits).to_string()
}

/// Minor units as a number.
pub(crate) fn decimal(amount: i128, digits: usize) -> Decimal {
    let digits = u32::try_from(digits).unwrap_or(2);
    let most = Decimal::from_i128_with_scale(Decimal::MAX.mantissa(), digits);
    Decimal::try_from_i128_with_scale(amount, digits).unwrap_or(if amount < 0 { -most } else { most })
}

/// Halves away from zero, as Postgres rounds; `by` is positive.
fn rounded(amount: i128, by: i128) -> i128 {
    let half = (amount.abs() * 2 + by) / (by * 2);
    half * amount.signum()
}

/// What an order is worth in the report's currency, in minor units.
#[derive(Debug, Clone, Copy)]
struct Worth {
    gross: Option<i128>,
    paid: i128,
    refunded: i128,
    revenue: i128,
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

    /// What each of some credits gets.
    fn divided(&self, credits: &[i64], parts: &mut Vec<[i128; 4]>) {
        parts.clear();
        parts.resize(credits.len(), [0; 4]);
        let amounts = [self.gross.unwrap_or(0), self.paid, self.refunded, self.revenue];
        let whole = i128::from(WHOLE);
        if let [WHOLE] = credits {
            parts[0] = amounts;
            return;
        }
        let shared = |credit: &i64| (1..WHOLE).contains(credit);
        for (which, amount) in amounts.into_iter().enumerate() {
            let mut left = amount;
            let mut turns: Vec<(i128, usize)> = Vec::new();
            for (touch, credit) in credits.iter().enumerate() {
                let share = amount * i128::from(*credit);
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
    if as_paid { amounts.paid - amounts.refunded } else { amounts.net.unwrap_or(0) }
}

/// An order that is told: all that passes, but for its worth.
#[derive(Debug, Clone, Default)]
struct Chosen {
    at: i64,
    id: Option<i64>,
    is_paid: bool,
    /// By model: of each touch what it is, its credit, and whether it passes.
    models: Vec<Vec<(Option<Label>, i64)>>,
}

impl Chosen {
    fn tell(&self, worth: Option<Worth>, tell: &mut impl FnMut(&Sale), room: &mut Room) {
        for (model, touches) in self.models.iter().enumerate() {
            room.credits.clear();
            room.credits.extend(touches.iter().map(|(_, credit)| *credit));
            match worth {
                Some(worth) => worth.divided(&room.credits, &mut room.parts),
                None => {
                    room.parts.clear();
                    room.parts.resize(touches.len(), [0; 4]);
                }
            }
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
                tell(&Sale { at: self.at, id: self.id, model, label, adds });
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

/// An order in another currency, whose rate is asked for when all are read.
struct Foreign {
    order: Chosen,
    currency: String,
    placed_at: Timestamp,
    amounts: Amounts,
}

/// Of which orders it is told.
struct Reader<'a> {
    scope: &'a Scope,
    money: &'a Money,
    choices: Choices,
    wanted: Wanted<'a>,
    /// Hours of sessions with a mark.
    hours: HashSet<i64>,
    models: Vec<usize>,
    room: Room,
    chosen: Chosen,
    foreign: Vec<Foreign>,
}

/// Tells every order of a scope, each touch that earned it by itself.
pub(crate) async fn sales(
    snapshot: &Snapshot,
    scope: &Scope,
    money: &Money,
    wanted: Wanted<'_>,
    mut tell: impl FnMut(&Sale),
) -> Result<(), DatabaseError> {
    let choices = Choices::of(snapshot, scope).await?;
    // By the beginning of its session an order may have been placed whenever.
    let (from, to) = if money.is_by_session() { (None, Timestamp::MAX) } else { scope.window() };
    let window = [(&from as _, Type::TIMESTAMPTZ), (&to as _, Type::TIMESTAMPTZ)];
    let marks = snapshot.row(include_str!("sql/marked_orders.sql"), &window).await?;
    let marks = marks.ok_or(DatabaseError::Failed)?;
    let (days, hours): (Vec<Timestamp>, Vec<Timestamp>) =
        (marks.try_get("order_days")?, marks.try_get("session_hours")?);

    let mut reader = Reader::new(scope, money, choices, wanted);
    let names = reader.names();
    let mut parameters = window.to_vec();
    parameters.push((&days, Type::TIMESTAMPTZ_ARRAY));
    parameters.push((&names, Type::TEXT_ARRAY));
    reader.hours = hours.iter().copied().map(hour_number).collect();
    let mut stream = pin!(snapshot.stream(include_str!("sql/order_columns.sql"), parameters).await?);
    while let Some(row) = stream.try_next().await? {
        let orders = Orders::read::<DatabaseError>(&row)?;
        reader.tell_all(&orders, row.try_get("order_day")?, &mut tell);
    }
    reader.hours.clear();
    if !days.is_empty() || !hours.is_empty() {
        let parameters = vec![
            (&days as _, Type::TIMESTAMPTZ_ARRAY),
            (&hours as _, Type::TIMESTAMPTZ_ARRAY),
            (&from as _, Type::TIMESTAMPTZ),
            (&to as _, Type::TIMESTAMPTZ),
        ];
        let mut by_day = BTreeMap::<Timestamp, Orders>::new();
        let mut stream = pin!(snapshot.stream(ORDER_ROWS, parameters).await?);
        while let Some(row) = stream.try_next().await? {
            let day = day_of(row.try_get("placed_at")?);
            by_day.entry(day).or_default().add(&row, day)?;
        }
        for (day, orders) in &by_day {
            reader.tell_all(orders, *day, &mut tell);
        }
    }
    reader.tell_foreign(snapshot, &mut tell).await
}

impl<'a> Reader<'a> {
    fn new(scope: &'a Scope, money: &'a Money, choices: Choices, wanted: Wanted<'a>) -> Reader<'a> {
        let models = wanted.models.iter();
        Reader {
            scope,
            money,
            choices,
            wanted,
            hours: HashSet::new(),
            models: models.filter_map(|model| MODELS.iter().position(|known| known == model)).collect(),
            room: Room::default(),
            chosen: Chosen { models: vec![Vec::new(); wanted.models.len().max(1)], ..Chosen::default() },
            foreign: Vec::new(),
        }
    }

    /// The names of the columns that are read.
    fn names(&self) -> Vec<&'a str> {
        let filtered = [(OrderId::Site, Id::Site), (OrderId::Agent, Id::Agent), (OrderId::Place, Id::Place)];
        let filtered = filtered.into_iter().filter(|(_, id)| self.choices.are_of(*id)).map(|(of, _)| of);
        let ids = filtered.chain(self.wanted.id).map(|of| IDS[of as usize]);
        ids.chain(self.wanted.models.iter().copied()).collect()
    }

    fn tell_all(&mut self, orders: &Orders, day: Timestamp, tell: &mut impl FnMut(&Sale)) {
        let midnight = day.as_microsecond();
        let passes = |of: OrderId, id: Id| self.choices.passes(id, &orders.ids(of).list);
        let filters = [
            (OrderId::Site, passes(OrderId::Site, Id::Site)),
            (OrderId::Agent, passes(OrderId::Agent, Id::Agent)),
            (OrderId::Place, passes(OrderId::Place, Id::Place)),
        ];
        let campaigns: Vec<Option<Vec<bool>>> = self
            .models
            .iter()
            .map(|model| self.choices.passes(Id::Campaign, orders.campaigns(*model)))
            .collect();
        let (as_paid, digits) = (self.money.is_as_paid(), self.money.minor_units());
        let digits = u32::try_from(digits).unwrap_or(2);
        for order in 0..orders.orders() {
            if self.hours.contains(&orders.hour(order)) || !self.passes(orders, order, midnight) {
                continue;
            }
            let is_out = |(of, passes): &(OrderId, Option<Vec<bool>>)| {
                passes.as_ref().is_some_and(|passes| !passes[orders.ids(*of).place(order)])
            };
            if filters.iter().any(is_out) {
                continue;
            }
            let amounts = orders.amounts(order);
            self.choose(orders, order, midnight, &campaigns);
            self.chosen.is_paid = amounts.paid > 0;
            let currency = orders.currency(order);
            if currency.is_none_or(|currency| Some(currency) == self.money.currency()) {
                self.chosen.tell(Some(Worth::of(amounts, digits, as_paid)), tell, &mut self.room);
            } else if let (Some(currency), Some(_)) = (currency, self.money.day_zone()) {
                let placed_at = day + jiff::SignedDuration::from_micros(orders.start(order));
                let (order, currency) = (self.chosen.clone(), currency.to_owned());
                self.foreign.push(Foreign { order, currency, placed_at, amounts });
            } else {
                self.chosen.tell(None, tell, &mut self.room);
            }
        }
    }

    /// Whether an order is of the window, and of a session that is asked about.
    fn passes(&self, orders: &Orders, order: usize, midnight: i64) -> bool {
        let (from, to) = self.scope.window();
        let (from, to) = (from.map_or(i64::MIN, Timestamp::as_microsecond), to.as_microsecond());
        let flags = orders.flags(order);
        let (has_session, is_bot) = (flags & flags::HAS_SESSION != 0, flags & flags::BOT != 0);
        if self.money.is_by_session() {
            let hour = orders.hour(order) * HOUR;
            return has_session
                && flags & flags::LEFT_OUT == 0
                && (from..to).contains(&(midnight + orders.session_start(order)))
                && (from.saturating_sub(48 * HOUR)..to).contains(&hour)
                && self.scope.only_bots().is_none_or(|only| only == is_bot);
        }
        let is_of_bots = self.scope.only_bots() == Some(true);
        (from..to).contains(&(midnight + orders.start(order)))
            && (!is_of_bots || is_bot)
            && (has_session || !(is_of_bots || self.scope.is_of_sessions()))
    }

    /// Says what earned an order.
    fn choose(&mut self, orders: &Orders, order: usize, midnight: i64, campaigns: &[Option<Vec<bool>>]) {
        let at = if self.money.is_by_session() { orders.session_start(order) } else { orders.start(order) };
        self.chosen.at = midnight + at;
        self.chosen.id = self.wanted.id.and_then(|of| orders.ids(of).of(order));
        let unknown = if orders.flags(order) & flags::KNOWN != 0 { Label::Direct } else { Label::Untracked };
        if self.models.is_empty() {
            self.chosen.models[0].clear();
            self.chosen.models[0].push((Some(unknown), WHOLE));
            return;
        }
        for ((model, passes), touches) in self.models.iter().zip(campaigns).zip(&mut self.chosen.models) {
            touches.clear();
            let list = orders.campaigns(*model);
            touches.extend(orders.touches(*model, order).map(|(place, credit)| {
                let label = place.checked_sub(1).and_then(|place| list.get(place)).copied();
                let label = label.map_or(Label::Direct, Label::Campaign);
                (passes.as_ref().is_none_or(|passes| passes[place]).then_some(label), credit)
            }));
            if touches.is_empty() {
                let passes = match unknown {
                    Label::Untracked => self.choices.pass_untracked(),
                    _ => passes.as_ref().is_none_or(|passes| passes[0]),
                };
                touches.push((passes.then_some(unknown), WHOLE));
            }
        }
    }

    async fn tell_foreign(
        mut self,
        snapshot: &Snapshot,
        tell: &mut impl FnMut(&Sale),
    ) -> Result<(), DatabaseError> {
        let (currency, zone) = (self.money.currency(), self.money.day_zone());
        let digits = i32::try_from(self.money.minor_units()).unwrap_or(2);
        let as_paid = self.money.is_as_paid();
        for portion in self.foreign.chunks(PORTION) {
            let currencies: Vec<&str> = portion.iter().map(|one| one.currency.as_str()).collect();
            let times: Vec<Timestamp> = portion.iter().map(|one| one.placed_at).collect();
            let column = |of: &dyn Fn(Amounts) -> Option<i128>| -> Vec<Option<Decimal>> {
                let number =
                    |one: &Foreign| Some(Decimal::from_i128_with_scale(of(one.amounts)?, one.amounts.scale));
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
                let amount = |name: &str| -> Result<Option<i128>, DatabaseError> {
                    let amount: Option<Decimal> = row.try_get(name)?;
                    Ok(amount.map(|amount| minor(amount, digits.unsigned_abs())))
                };
                let worth =
                    match (row.try_get("counted")?, amount("paid")?, amount("refunded")?, amount("revenue")?)
                    {
                        (true, Some(paid), Some(refunded), Some(revenue)) => {
                            Some(Worth { gross: amount("gross")?, paid, refunded, revenue })
                        }
                        _ => None,
                    };
                one.order.tell(worth, tell, &mut self.room);
            }
        }
        Ok(())
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
        let sales = Sales { gross: 1001, valued_orders: 3_000_000, ..Sales::default() };
        assert_eq!((sales.average(2), Sales::default().average(2)), (Some("3.34".to_owned()), None));
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
