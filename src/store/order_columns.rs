//! A day of orders, column by column, as `migrations/V31__order_columns.sql`, `V32__order_keys.sql` and `V41__order_positions.sql` keep
//! it: packed as sessions are (`columns.rs`), with the touches that earned each order by each attribution model, the keys by which its
//! customer is known, and what was bought.
//!
//! Amounts are whole numbers of the order's own last digit: nothing is rounded here.

use std::collections::HashMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql, Type};
use uuid::Uuid;

use super::columns::{Damaged, Ids, first_eight, id_hash, pack, pack_wide, unpack, unpack_wide};
use super::order_positions::Positions;
pub use super::order_positions::{Amount, Position, Product};
use super::order_shares::{Credits, Keys};

/// The orders of days, `$1`, for [`Orders::add`]; of what is looked up beside them, that of columns, `$4`, with the credits of
/// [`models`], `$5`.
pub const ORDER_ROWS: &str = include_str!("sql/order_rows.sql");
/// What was bought with the orders of days, `$1`, for [`Bought::of`].
pub const POSITION_ROWS: &str = include_str!("sql/order_positions.sql");
/// What purchases name of orders without positions, for [`Bought::add_purchases`].
pub const PURCHASE_ROWS: &str = include_str!("sql/order_purchases.sql");

/// What the flags of an order say.
pub mod flags {
    #![allow(missing_docs, reason = "the migrations say what they are")]
    pub const KNOWN: i64 = 1;
    pub const BOT: i64 = 2;
    pub const HAS_SESSION: i64 = 4;
    pub const NO_GROSS: i64 = 8;
    pub const NO_NET: i64 = 16;
    pub const LEFT_OUT: i64 = 32;
    pub const BY_RULE: i64 = 64;
    pub const BY_HEADER: i64 = 128;
    pub const BY_IMPORT: i64 = 256;
    pub const BY_API: i64 = 512;
    pub const CREDITED: i64 = 1024;
    pub const TOUCHED: i64 = 2048;

    /// By the way of an entry, from 1.
    pub(super) const BY_WAY: [i64; 4] = [BY_RULE, BY_HEADER, BY_IMPORT, BY_API];
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

/// Asks that days which are told from the orders look up credits and reports, for what flags say of these.
pub const FLAGS: &str = "flags";
/// When sessions began. It asks that days which are told from the orders look sessions up: for what flags say of these, too.
pub const SESSION_STARTS: &str = "session_starts";
/// The column of visitors.
pub const VISITORS: &str = "visitors";
/// The column of the first touches.
pub const FIRST_TOUCHES: &str = "first_touches";
/// The column of keys.
pub const KEYS: &str = "keys";
/// What was bought, and by which session; with it come the names of products.
pub const BOUGHT: [&str; 3] = ["buyers", POSITIONS, TOLD];
const POSITIONS: &str = "positions";
const TOLD: &str = "told";

const MICROSECONDS_OF_HOUR: i64 = 3_600_000_000;
/// Columns of whole numbers; all but times and flags are read where they are asked for.
const NUMBERS: [&str; 9] =
    ["starts", "hours", SESSION_STARTS, FLAGS, "scales", "currencies", VISITORS, FIRST_TOUCHES, "buyers"];
/// Digits behind the point that amounts have at most: as many as [`Decimal`] has.
const MOST_SCALE: i64 = 28;
/// Columns of amounts.
const AMOUNTS: [&str; 4] = ["gross", "paid", "refunded", "net"];
/// What an order is worth, and in which currency.
pub const MONEY: [&str; 6] = ["scales", "currencies", "gross", "paid", "refunded", "net"];
/// Whether more was paid than refunded.
pub const PAYMENTS: [&str; 2] = ["paid", "refunded"];
/// Whether something is left after refunds.
pub const NET: [&str; 1] = ["net"];

/// The names of all columns but those of amounts.
pub(super) fn columns() -> Vec<&'static str> {
    NUMBERS.into_iter().chain(IDS).chain(MODELS).chain([KEYS, POSITIONS, TOLD]).collect()
}

/// What was bought with some orders, by site and order, as statements tell it.
#[derive(Debug, Default)]
pub struct Bought {
    /// Rows of [`POSITION_ROWS`].
    positions: HashMap<(i32, String), Row>,
    /// Rows of [`PURCHASE_ROWS`].
    purchases: HashMap<(i32, String), Row>,
}

/// Orders without positions: what [`PURCHASE_ROWS`] asks about, in the order of its parameters.
#[derive(Debug)]
#[allow(missing_docs, reason = "the statement says what they are")]
pub struct Unnamed {
    pub sites: Vec<i32>,
    pub orders: Vec<String>,
    pub sessions: Vec<Uuid>,
    pub first_hour: Timestamp,
    pub last_hour: Timestamp,
}

impl Bought {
    /// What rows of [`POSITION_ROWS`] tell, and the orders whose purchases are still to be asked for.
    pub fn of(rows: Vec<Row>) -> Result<(Bought, Option<Unnamed>), tokio_postgres::Error> {
        let mut bought = Bought::default();
        let (mut sites, mut orders, mut sessions, mut hours) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let (site, order): (i32, String) = (row.try_get("site_id")?, row.try_get("order_id")?);
            if row.try_get::<_, Option<Vec<&str>>>("product_ids")?.is_some() {
                bought.positions.insert((site, order), row);
            } else if let Some(session) = row.try_get("session_id")? {
                sites.push(site);
                orders.push(order);
                sessions.push(session);
                hours.push(row.try_get("session_hour")?);
            }
        }
        let ends = hours.iter().min().copied().zip(hours.iter().max().copied());
        let unnamed =
            ends.map(|(first_hour, last_hour)| Unnamed { sites, orders, sessions, first_hour, last_hour });
        Ok((bought, unnamed))
    }

    /// Adds what rows of [`PURCHASE_ROWS`] tell.
    pub fn add_purchases(&mut self, rows: Vec<Row>) -> Result<(), tokio_postgres::Error> {
        for row in rows {
            self.purchases.insert((row.try_get("site_id")?, row.try_get("order_id")?), row);
        }
        Ok(())
    }
}

impl Unnamed {
    /// Those of [`PURCHASE_ROWS`].
    pub fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 5] {
        [
            (&self.sites, Type::INT4_ARRAY),
            (&self.orders, Type::TEXT_ARRAY),
            (&self.sessions, Type::UUID_ARRAY),
            (&self.first_hour, Type::TIMESTAMPTZ),
            (&self.last_hour, Type::TIMESTAMPTZ),
        ]
    }
}

/// Whether these columns say what was bought.
pub fn are_of_positions(columns: &[&str]) -> bool {
    columns.contains(&POSITIONS)
}

/// The models whose credits say what these columns have.
pub fn models(columns: &[&str]) -> Vec<&'static str> {
    let says = |model: &str| {
        let is_first = model == "linear" && columns.contains(&FIRST_TOUCHES);
        is_first || columns.contains(&FLAGS) || columns.contains(&model)
    };
    MODELS.into_iter().filter(|model| says(model)).collect()
}

/// Columns of a row with the keyed hashes that an order's entries name, and the letters of their kinds.
const KINDS: [(&str, &[u8]); 3] = [("phones", b"p"), ("emails", b"e"), ("user_ids", b"u")];

/// Some orders of one UTC day, by time.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    orders: usize,
    numbers: [Vec<i64>; NUMBERS.len()],
    amounts: [Vec<i128>; AMOUNTS.len()],
    currencies: Vec<String>,
    ids: [Ids; IDS.len()],
    credits: [Credits; MODELS.len()],
    keys: Keys,
    positions: Positions,
    told: Keys,
}

/// A day as the table has it.
#[derive(Debug)]
pub struct Packed<'a> {
    /// How many orders.
    pub orders: usize,
    /// The names of its currencies.
    pub currencies: &'a [String],
    /// The shops' ids of products.
    pub product_ids: Vec<&'a str>,
    /// What each of these is called.
    pub product_names: Vec<Option<&'a str>>,
    /// All other columns in the order of the table.
    pub columns: Vec<Vec<u8>>,
}

/// What an order is worth, in its own currency; 0 of columns that were not read.
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

impl Amounts {
    /// The same of an order whose gross amount is this.
    #[must_use]
    pub fn with_gross(self, gross: Amount) -> Amounts {
        let scale = self.scale.max(gross.scale);
        let own = |amount: i128| amount.saturating_mul(10_i128.pow(scale - self.scale));
        Amounts {
            scale,
            gross: Some(gross.number.saturating_mul(10_i128.pow(scale - gross.scale))),
            paid: own(self.paid),
            refunded: own(self.refunded),
            net: self.net.map(own),
        }
    }
}

/// The hour of a session's id, from 1970.
fn hour_number(hour: Timestamp) -> i64 {
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

    /// The hour of its session, from 1970; -1 when it is of none. With [`SESSION_STARTS`].
    pub fn hour(&self, order: usize) -> i64 {
        self.numbers[1][order]
    }

    /// When its session began, where that is there: microseconds from the day. Of [`SESSION_STARTS`].
    pub fn session_start(&self, order: usize) -> i64 {
        self.numbers[2][order]
    }

    /// Its flags.
    pub fn flags(&self, order: usize) -> i64 {
        self.numbers[3][order]
    }

    /// Its currency, if it has one. Of [`MONEY`].
    pub fn currency(&self, order: usize) -> Option<&str> {
        let place = usize::try_from(*self.numbers[5].get(order)?).ok()?.checked_sub(1)?;
        self.currencies.get(place).map(String::as_str)
    }

    /// What it is worth.
    pub fn amounts(&self, order: usize) -> Amounts {
        let [gross, paid, refunded, net] =
            self.amounts.each_ref().map(|amounts| amounts.get(order).copied().unwrap_or(0));
        let flags = self.flags(order);
        let scale = self.numbers[4].get(order).copied().unwrap_or(0);
        Amounts {
            scale: u32::try_from(scale).unwrap_or(0),
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
        self.credits[model].campaigns()
    }

    /// The touches that earned an order, in their order: the place of the campaign from 1, 0 for none, and the credit.
    pub fn touches(&self, model: usize, order: usize) -> impl Iterator<Item = (usize, i64)> {
        self.credits[model].of(order)
    }

    /// Whose it is, as sessions have their visitors; none where nobody is known, or [`VISITORS`] were not read.
    pub fn visitor(&self, order: usize) -> Option<i64> {
        self.numbers[6].get(order).copied().filter(|_| self.flags(order) & flags::KNOWN != 0)
    }

    /// When its first touch was: microseconds from the day; none where there is none, or [`FIRST_TOUCHES`] were not read.
    pub fn first_touch(&self, order: usize) -> Option<i64> {
        self.numbers[7].get(order).copied().filter(|_| self.flags(order) & flags::TOUCHED != 0)
    }

    /// Telephones, e-mails and user ids that its entries name: of each a hash, once. Of [`KEYS`].
    pub fn keys(&self, order: usize) -> &[i64] {
        self.keys.of(order)
    }

    /// By what the session of an order is known, as `session_columns` have it; none where there is none, or [`BOUGHT`] was not read.
    pub fn buyer(&self, order: usize) -> Option<i64> {
        self.numbers[8].get(order).copied().filter(|buyer| *buyer != 0)
    }

    /// What [`Orders::positions`] name. Of [`BOUGHT`].
    pub fn products(&self) -> &[Product] {
        self.positions.products()
    }

    /// What an order has of each product, by its positions. Of [`BOUGHT`].
    pub fn positions(&self, order: usize) -> &[Position] {
        self.positions.of(order)
    }

    /// The keys of the products that purchases name of an order without positions. Of [`BOUGHT`].
    pub fn told(&self, order: usize) -> &[i64] {
        self.told.of(order)
    }

    /// Adds an order that [`ORDER_ROWS`] gave, with what was bought, as far as that is known; `day` is that of its time.
    pub fn add(&mut self, row: &Row, bought: &Bought, day: Timestamp) -> Result<(), tokio_postgres::Error> {
        let since = |at: Timestamp| at.as_microsecond() - day.as_microsecond();
        let hour: Option<Timestamp> = row.try_get("session_hour")?;
        let started_at: Option<Timestamp> = row.try_get("started_at")?;
        let visitor: Option<Uuid> = row.try_get("visitor_id")?;
        let first_touch_at: Option<Timestamp> = row.try_get("first_touch_at")?;
        let session_id: Option<Uuid> = row.try_get("session_id")?;
        let site_id: i32 = row.try_get("site_id")?;
        let (gross, net): (Option<Decimal>, Option<Decimal>) = (row.try_get("gross")?, row.try_get("net")?);
        let amounts = [gross, Some(row.try_get("paid")?), Some(row.try_get("refunded")?), net];
        let scale = amounts.iter().flatten().map(Decimal::scale).max().unwrap_or(0);
        let currency: Option<&str> = row.try_get("currency")?;
        let numbers = [
            since(row.try_get("placed_at")?),
            hour.map_or(-1, hour_number),
            started_at.map_or(0, since),
            flags_of(row)?,
            i64::from(scale),
            currency.map_or(0, |currency| self.place_of(currency)),
            visitor.map_or(0, id_hash),
            first_touch_at.map_or(0, since),
            session_id.map_or(0, id_hash),
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
            Some(i64::from(site_id)),
            row.try_get("agent_id")?,
            row.try_get("place_id")?,
            row.try_get("referrer_id")?,
            row.try_get("landing_page_id")?,
        ];
        for (column, id) in self.ids.iter_mut().zip(ids) {
            column.push(id);
        }
        let models: Vec<&str> = list(row, "models")?;
        let (campaigns, credits): (Vec<Option<i64>>, Vec<i32>) =
            (list(row, "campaigns")?, list(row, "credits")?);
        for (of, model) in self.credits.iter_mut().zip(MODELS) {
            let touches =
                models.iter().zip(&campaigns).zip(&credits).filter(|((name, _), _)| **name == model);
            of.push(touches.map(|((_, campaign), credit)| (*campaign, i64::from(*credit))));
        }
        let mut keys = Vec::new();
        for (column, kind) in KINDS {
            let hashes: Vec<&[u8]> = list(row, column)?;
            keys.extend(hashes.iter().map(|hash| key_of(kind, hash)));
        }
        self.keys.push(keys);
        let order = (site_id, row.try_get("order_id")?);
        self.add_positions(bought.positions.get(&order), i64::from(site_id))?;
        let purchases = bought.purchases.get(&order);
        self.told.push(purchases.map_or(Ok(Vec::new()), |purchases| purchases.try_get("told"))?);
        self.orders += 1;
        Ok(())
    }

    fn add_positions(&mut self, bought: Option<&Row>, site: i64) -> Result<(), tokio_postgres::Error> {
        let Some(bought) = bought else {
            self.positions.push(std::iter::empty());
            return Ok(());
        };
        let (ids, names): (Vec<String>, Vec<Option<String>>) =
            (list(bought, "product_ids")?, list(bought, "product_names")?);
        let (quantities, amounts): (Vec<&str>, Vec<Option<&str>>) =
            (list(bought, "quantities")?, list(bought, "amounts")?);
        let products = ids.into_iter().zip(names).map(|(id, name)| Product { site, id, name });
        let positions = products.zip(quantities).zip(amounts);
        self.positions.push(positions.map(|((product, quantity), amount)| (product, quantity, amount)));
        Ok(())
    }

    fn place_of(&mut self, currency: &str) -> i64 {
        let place = self.currencies.iter().position(|known| known == currency).unwrap_or_else(|| {
            self.currencies.push(currency.to_owned());
            self.currencies.len() - 1
        });
        place as i64 + 1
    }

    /// All columns as the table has them.
    pub fn packed(&self) -> Packed<'_> {
        let [starts, hours, session_starts, flags, scales, currencies, visitors, first_touches, buyers] =
            self.numbers.each_ref().map(|numbers| pack(numbers));
        let mut columns = vec![starts, hours, session_starts, flags, scales];
        columns.extend(self.amounts.iter().map(|amounts| pack_wide(amounts)));
        columns.push(currencies);
        columns.extend(self.ids.iter().map(Ids::packed));
        columns.extend(self.credits.iter().map(Credits::packed));
        columns.extend([visitors, first_touches, self.keys.packed(), buyers]);
        columns.extend([self.positions.packed(), self.told.packed()]);
        let products = self.positions.products().iter();
        let (product_ids, product_names) =
            products.map(|product| (product.id.as_str(), product.name.as_deref())).unzip();
        Packed { orders: self.orders, currencies: &self.currencies, product_ids, product_names, columns }
    }

    /// The columns of a row of the table, as far as they are not null.
    pub fn read<E: From<Damaged> + From<tokio_postgres::Error>>(row: &Row) -> Result<Orders, E> {
        let count = usize::try_from(row.try_get::<_, i32>("orders")?).map_err(|_| Damaged)?;
        let mut orders =
            Orders { orders: count, currencies: row.try_get("currency_names")?, ..Orders::default() };
        for (column, name) in orders.numbers.iter_mut().zip(NUMBERS) {
            if let Some(bytes) = row.try_get(name)? {
                *column = unpack(bytes, count)?;
            }
        }
        if orders.numbers[4].iter().any(|scale| !(0..=MOST_SCALE).contains(scale)) {
            return Err(Damaged.into());
        }
        for (column, name) in orders.amounts.iter_mut().zip(AMOUNTS) {
            if let Some(bytes) = row.try_get(name)? {
                *column = unpack_wide(bytes, count)?;
            }
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
        if let Some(bytes) = row.try_get(KEYS)? {
            orders.keys = Keys::unpack(bytes, count)?;
        }
        if let Some(bytes) = row.try_get(POSITIONS)? {
            let (ids, names) = (list(row, "product_ids")?, list(row, "product_names")?);
            orders.positions = Positions::unpack(bytes, ids, names, count)?;
        }
        if let Some(bytes) = row.try_get(TOLD)? {
            orders.told = Keys::unpack(bytes, count)?;
        }
        Ok(orders)
    }
}

/// The flags of an order that [`ORDER_ROWS`] gave.
fn flags_of(row: &Row) -> Result<i64, tokio_postgres::Error> {
    let flag = |set: bool, flag: i64| i64::from(set) * flag;
    let is_told = |column| row.try_get::<_, Option<bool>>(column).map(|told| told == Some(true));
    let ways: Vec<i16> = list(row, "ways")?;
    let by_way = |way: &i16| flags::BY_WAY.get(usize::try_from(*way).ok()?.checked_sub(1)?);
    let campaigns: Vec<Option<i64>> = list(row, "campaigns")?;
    Ok(flag(row.try_get::<_, Option<Uuid>>("visitor_id")?.is_some(), flags::KNOWN)
        | flag(is_told("bot")?, flags::BOT)
        | flag(row.try_get::<_, Option<i64>>("agent_id")?.is_some(), flags::HAS_SESSION)
        | flag(row.try_get::<_, Option<Decimal>>("gross")?.is_none(), flags::NO_GROSS)
        | flag(row.try_get::<_, Option<Decimal>>("net")?.is_none(), flags::NO_NET)
        | flag(is_told("left_out")?, flags::LEFT_OUT)
        | ways.iter().filter_map(by_way).fold(0, |all, way| all | way)
        | flag(campaigns.iter().any(Option::is_some), flags::CREDITED)
        | flag(row.try_get::<_, Option<Timestamp>>("first_touch_at")?.is_some(), flags::TOUCHED))
}

/// A list of a row, which is null when there is nothing in it.
fn list<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<Vec<T>, tokio_postgres::Error> {
    Ok(row.try_get::<_, Option<_>>(column)?.unwrap_or_default())
}

/// What the column of keys has of one.
fn key_of(kind: &[u8], hash: &[u8]) -> i64 {
    first_eight(&Sha256::new().chain_update(kind).chain_update(hash).finalize()).cast_signed()
}
