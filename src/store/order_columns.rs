//! A day of orders, column by column, as `migrations/V31__order_columns.sql` keeps it: packed as sessions are (`columns.rs`), with
//! the touches that earned each order by each attribution model.
//!
//! Amounts are whole numbers of the order's own last digit: nothing is rounded here.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::Row;

use super::columns::{Damaged, Ids, pack, unpack};

/// The orders of days, `$1`, and of sessions of hours, `$2`, for [`Orders::add`].
pub const ORDER_ROWS: &str = include_str!("sql/order_rows.sql");

/// What the flags of an order say.
pub mod flags {
    #![allow(missing_docs, reason = "the migration says what they are")]
    pub const KNOWN: i64 = 1;
    pub const BOT: i64 = 2;
    pub const HAS_SESSION: i64 = 4;
    pub const NO_GROSS: i64 = 8;
    pub const NO_NET: i64 = 16;
    pub const LEFT_OUT: i64 = 32;
}

/// The attribution models, by the names of their columns.
pub const MODELS: [&str; 7] =
    ["first", "last", "last_non_direct", "last_paid", "linear", "position", "time_decay"];

/// Columns of ids, by their names.
pub const IDS: [&str; 5] = ["sites", "agents", "places", "referrers", "landing_pages"];

/// A column of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the migration says what they are")]
pub enum OrderId {
    Site,
    Agent,
    Place,
    Referrer,
    Page,
}

/// Touches of an order, on average: equal numbers take no room, and damaged bytes could ask for any number of them.
const MOST_TOUCHES: usize = 1 << 16;
const MICROSECONDS_OF_HOUR: i64 = 3_600_000_000;
/// Columns of whole numbers that are always read.
const NUMBERS: [&str; 6] = ["starts", "hours", "session_starts", "flags", "scales", "currencies"];
/// Columns of amounts.
const AMOUNTS: [&str; 4] = ["gross", "paid", "refunded", "net"];

/// Some orders of one UTC day.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    orders: usize,
    numbers: [Vec<i64>; NUMBERS.len()],
    amounts: [Vec<i128>; AMOUNTS.len()],
    currencies: Vec<String>,
    ids: [Ids; IDS.len()],
    credits: [Credits; MODELS.len()],
}

/// Who earned orders, by one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Credits {
    /// How many touches each order has.
    counts: Vec<i64>,
    /// Where those of each order begin, and the last ones end.
    begins: Vec<usize>,
    campaigns: Ids,
    credits: Vec<i64>,
}

/// What an order is worth, in its own currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amounts {
    /// Digits after the point.
    pub scale: u32,
    /// Null when nobody told it.
    pub gross: Option<i128>,
    #[allow(missing_docs, reason = "as the table of orders has it")]
    pub paid: i128,
    #[allow(missing_docs, reason = "as the table of orders has it")]
    pub refunded: i128,
    /// Null when nobody told the gross amount.
    pub net: Option<i128>,
}

/// The hour of a session's id, from 1970.
pub fn hour_number(hour: Timestamp) -> i64 {
    hour.as_microsecond().div_euclid(MICROSECONDS_OF_HOUR)
}

impl Orders {
    /// How many orders.
    pub fn orders(&self) -> usize {
        self.orders
    }

    /// When an order was placed: microseconds from the day.
    pub fn start(&self, order: usize) -> i64 {
        self.numbers[0][order]
    }

    /// The hour of its session, as [`hour_number`] has it; -1 when it is of none.
    pub fn hour(&self, order: usize) -> i64 {
        self.numbers[1][order]
    }

    /// When its session began, where that is there: microseconds from the day.
    pub fn session_start(&self, order: usize) -> i64 {
        self.numbers[2][order]
    }

    /// Its flags.
    pub fn flags(&self, order: usize) -> i64 {
        self.numbers[3][order]
    }

    /// Its currency, if it has one.
    pub fn currency(&self, order: usize) -> Option<&str> {
        let place = usize::try_from(self.numbers[5][order]).ok()?.checked_sub(1)?;
        self.currencies.get(place).map(String::as_str)
    }

    /// What it is worth.
    pub fn amounts(&self, order: usize) -> Amounts {
        let [gross, paid, refunded, net] = self.amounts.each_ref().map(|amounts| amounts[order]);
        let flags = self.flags(order);
        Amounts {
            scale: u32::try_from(self.numbers[4][order]).unwrap_or(0),
            gross: (flags & flags::NO_GROSS == 0).then_some(gross),
            paid,
            refunded,
            net: (flags & flags::NO_NET == 0).then_some(net),
        }
    }

    /// A column of ids.
    pub fn ids(&self, of: OrderId) -> &Ids {
        &self.ids[of as usize]
    }

    /// The campaigns of all touches, as [`Orders::touches`] has their places.
    pub fn campaigns(&self, model: usize) -> &[i64] {
        &self.credits[model].campaigns.list
    }

    /// The touches that earned an order, in their order: the place of the campaign from 1, 0 for none, and the credit.
    pub fn touches(&self, model: usize, order: usize) -> impl Iterator<Item = (usize, i64)> {
        let of = &self.credits[model];
        (of.begins[order]..of.begins[order + 1]).map(|touch| (of.campaigns.place(touch), of.credits[touch]))
    }

    /// Adds an order that [`ORDER_ROWS`] gave; `day` is that of its time.
    pub fn add(&mut self, row: &Row, day: Timestamp) -> Result<(), tokio_postgres::Error> {
        let placed_at: Timestamp = row.try_get("placed_at")?;
        let hour: Option<Timestamp> = row.try_get("session_hour")?;
        let started_at: Option<Timestamp> = row.try_get("started_at")?;
        let (gross, net): (Option<Decimal>, Option<Decimal>) = (row.try_get("gross")?, row.try_get("net")?);
        let amounts = [gross, Some(row.try_get("paid")?), Some(row.try_get("refunded")?), net];
        let scale = amounts.iter().flatten().map(Decimal::scale).max().unwrap_or(0);
        let agent: Option<i64> = row.try_get("agent_id")?;
        let flag = |set: bool, flag: i64| i64::from(set) * flag;
        let flags = flag(row.try_get("known")?, flags::KNOWN)
            | flag(row.try_get::<_, Option<bool>>("bot")? == Some(true), flags::BOT)
            | flag(agent.is_some(), flags::HAS_SESSION)
            | flag(gross.is_none(), flags::NO_GROSS)
            | flag(net.is_none(), flags::NO_NET)
            | flag(row.try_get::<_, Option<bool>>("left_out")? == Some(true), flags::LEFT_OUT);
        let currency: Option<&str> = row.try_get("currency")?;
        let numbers = [
            placed_at.as_microsecond() - day.as_microsecond(),
            hour.map_or(-1, hour_number),
            started_at.map_or(0, |at| at.as_microsecond() - day.as_microsecond()),
            flags,
            i64::from(scale),
            currency.map_or(0, |currency| self.place_of(currency)),
        ];
        for (column, number) in self.numbers.iter_mut().zip(numbers) {
            column.push(number);
        }
        for (column, amount) in self.amounts.iter_mut().zip(amounts) {
            column.push(
                amount.map_or(0, |amount| {
                    amount.mantissa().saturating_mul(10_i128.pow(scale - amount.scale()))
                }),
            );
        }
        let ids = [
            Some(i64::from(row.try_get::<_, i32>("site_id")?)),
            agent,
            row.try_get("place_id")?,
            row.try_get("referrer_id")?,
            row.try_get("landing_page_id")?,
        ];
        for (column, id) in self.ids.iter_mut().zip(ids) {
            column.push(id);
        }
        let models: Vec<&str> = row.try_get::<_, Option<_>>("models")?.unwrap_or_default();
        let campaigns: Vec<Option<i64>> = row.try_get::<_, Option<_>>("campaigns")?.unwrap_or_default();
        let credits: Vec<i32> = row.try_get::<_, Option<_>>("credits")?.unwrap_or_default();
        for (of, model) in self.credits.iter_mut().zip(MODELS) {
            let touches =
                models.iter().zip(&campaigns).zip(&credits).filter(|((name, _), _)| **name == model);
            of.push(touches.map(|((_, campaign), credit)| (*campaign, i64::from(*credit))));
        }
        self.orders += 1;
        Ok(())
    }

    fn place_of(&mut self, currency: &str) -> i64 {
        let place = self.currencies.iter().position(|known| known == currency).unwrap_or_else(|| {
            self.currencies.push(currency.to_owned());
            self.currencies.len() - 1
        });
        place as i64 + 1
    }

    /// The names of its currencies, and all other columns in the order of the table; none when an amount is beyond 64 bits: such
    /// a day is not packed.
    pub fn packed(&self) -> Option<(&[String], Vec<Vec<u8>>)> {
        let [starts, hours, session_starts, flags, scales, currencies] =
            self.numbers.each_ref().map(|numbers| pack(numbers));
        let mut columns = vec![starts, hours, session_starts, flags, scales];
        for amounts in &self.amounts {
            let amounts = amounts.iter().map(|amount| i64::try_from(*amount)).collect::<Result<Vec<_>, _>>();
            columns.push(pack(&amounts.ok()?));
        }
        columns.push(currencies);
        columns.extend(self.ids.iter().map(Ids::packed));
        columns.extend(self.credits.iter().map(Credits::packed));
        Some((&self.currencies, columns))
    }

    /// The columns of a row of the table; ids and models as far as they are not null.
    pub fn read<E: From<Damaged> + From<tokio_postgres::Error>>(row: &Row) -> Result<Orders, E> {
        let count = usize::try_from(row.try_get::<_, i32>("orders")?).map_err(|_| Damaged)?;
        let mut orders =
            Orders { orders: count, currencies: row.try_get("currency_names")?, ..Orders::default() };
        for (column, name) in orders.numbers.iter_mut().zip(NUMBERS) {
            *column = unpack(row.try_get(name)?, count)?;
        }
        for (column, name) in orders.amounts.iter_mut().zip(AMOUNTS) {
            *column = unpack(row.try_get(name)?, count)?.into_iter().map(i128::from).collect();
        }
        for (column, name) in orders.ids.iter_mut().zip(IDS) {
            if let Some(bytes) = row.try_get(name)? {
                *column = Ids::unpack(bytes, count)?;
            }
        }
        for (column, name) in orders.credits.iter_mut().zip(MODELS) {
            if let Some(bytes) = row.try_get(name)? {
                *column = Credits::unpack(bytes, count)?;
            }
        }
        Ok(orders)
    }
}

impl Credits {
    fn push(&mut self, touches: impl Iterator<Item = (Option<i64>, i64)>) {
        if self.begins.is_empty() {
            self.begins.push(0);
        }
        let before = self.credits.len();
        for (campaign, credit) in touches {
            self.campaigns.push(campaign);
            self.credits.push(credit);
        }
        self.counts.push((self.credits.len() - before) as i64);
        self.begins.push(self.credits.len());
    }

    /// Counts and credits with their lengths in front, then campaigns.
    fn packed(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [pack(&self.counts), pack(&self.credits)] {
            bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(part);
        }
        bytes.extend(self.campaigns.packed());
        bytes
    }

    fn unpack(bytes: &[u8], orders: usize) -> Result<Credits, Damaged> {
        fn part(bytes: &[u8]) -> Result<(&[u8], &[u8]), Damaged> {
            let (length, rest) = bytes.split_first_chunk::<4>().ok_or(Damaged)?;
            rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(Damaged)
        }
        let (counts, rest) = part(bytes)?;
        let (credits, campaigns) = part(rest)?;
        let counts = unpack(counts, orders)?;
        let mut begins = vec![0_usize];
        for count in &counts {
            let touches = usize::try_from(*count).map_err(|_| Damaged)?;
            let end = begins.last().and_then(|begin| begin.checked_add(touches)).ok_or(Damaged)?;
            begins.push(end);
        }
        let touches = begins.last().copied().unwrap_or_default();
        if touches > orders.saturating_mul(MOST_TOUCHES) {
            return Err(Damaged);
        }
        Ok(Credits {
            credits: unpack(credits, touches)?,
            campaigns: Ids::unpack(campaigns, touches)?,
            counts,
            begins,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn credits_come_back(
            orders in prop::collection::vec(
                prop::collection::vec((prop::option::of(-4i64..4), 0i64..1_000_001), 0..4), 0..20),
        ) {
            let mut credits = Credits::default();
            orders.iter().for_each(|touches| credits.push(touches.iter().copied()));
            let read = Credits::unpack(&credits.packed(), orders.len()).unwrap();
            let of = |order: usize| read.begins[order]..read.begins[order + 1];
            let told = |touch| (read.campaigns.of(touch), read.credits[touch]);
            let told: Vec<Vec<_>> = (0..orders.len()).map(|order| of(order).map(told).collect()).collect();
            prop_assert_eq!(told, orders);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80), count in 0usize..9) {
            if let Ok(credits) = Credits::unpack(&bytes, count) {
                prop_assert_eq!(credits.begins.len(), count + 1);
            }
        }
    }
}
