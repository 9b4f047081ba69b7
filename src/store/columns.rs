//! A day of sessions, column by column, as `migrations/V26__columns.sql` keeps it: one number of every session each. Packed, a
//! column is as wide as its greatest number needs; ids are places in a list of those that the day has. What may have numbers beyond
//! 64 bits, which orders have, is packed in two halves then.
//!
//! What was done in sessions (`migrations/V33__session_actions.sql`) is packed so, too, one session's behind the other's.
//!
//! What a column was not asked for is empty. Bytes that no version of this program wrote are an error, never other numbers.

use std::collections::HashMap;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

/// The sessions of hours, `$1`, that reports count: for [`Columns::add`].
pub const SESSIONS_OF_HOURS: &str = include_str!("sql/column_sessions.sql");
/// What was done in the sessions of hours, `$1`, by `session_id`: for [`Columns::add`], too.
pub const ACTIONS_OF_HOURS: &str = include_str!("sql/column_actions.sql");

/// What the flags of a session say.
pub mod flags {
    #![allow(missing_docs, reason = "the names say it")]
    pub const BOT: i64 = 1;
    pub const BOUNCED: i64 = 2;
    pub const CONVERTED: i64 = 4;
    pub const LEAD: i64 = 8;
    pub const REGISTRATION: i64 = 16;
    pub const FOR_A_DAY: i64 = 32;
}

/// A column of numbers; the table has them in this order, before those of [`Id`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the migration says what they are")]
pub enum Number {
    Hour,
    /// Microseconds from the beginning of the day.
    Start,
    Visitor,
    Sketch,
    Number,
    Flags,
    PageViews,
    Milliseconds,
    Points,
    /// Microseconds from where it began to its start.
    Begin,
    /// Microseconds from its start to when it was last seen.
    Last,
    /// How many actions it has in the columns of [`List`].
    Actions,
    /// How many page views it has there.
    Views,
}

/// A column of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the migration says what they are")]
pub enum Id {
    Site,
    Campaign,
    Agent,
    Place,
    Referrer,
    Page,
}

/// A column of what was done in sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// The kinds of actions.
    Kind,
    /// When these were: microseconds from the session's start.
    Time,
    /// What products these name.
    Product,
    /// When pages were viewed: microseconds from the session's start.
    View,
    /// Of sessions with an order, by what these know them.
    Buyer,
}

/// The UTC day that an hour is of, and which of its hours it is, from 0.
pub fn day_and_hour(hour: Timestamp) -> (Timestamp, i64) {
    let hours = hour.as_second().div_euclid(3600).rem_euclid(24);
    (hour - SignedDuration::from_hours(hours), hours)
}

/// The UTC day that an instant is of.
pub fn day_of(at: Timestamp) -> Timestamp {
    at - SignedDuration::from_micros(at.as_microsecond().rem_euclid(86_400_000_000))
}

/// The columns of the table, in the order in which they are written: numbers, then ids, then lists.
pub const NUMBERS: [(Number, &str); 13] = [
    (Number::Hour, "hours"),
    (Number::Start, "starts"),
    (Number::Visitor, "visitors"),
    (Number::Sketch, "sketches"),
    (Number::Number, "numbers"),
    (Number::Flags, "flags"),
    (Number::PageViews, "page_views"),
    (Number::Milliseconds, "milliseconds"),
    (Number::Points, "points"),
    (Number::Begin, "begins"),
    (Number::Last, "lasts"),
    (Number::Actions, "actions"),
    (Number::Views, "views"),
];
/// Those of ids.
pub const IDS: [(Id, &str); 6] = [
    (Id::Site, "sites"),
    (Id::Campaign, "campaigns"),
    (Id::Agent, "agents"),
    (Id::Place, "places"),
    (Id::Referrer, "referrers"),
    (Id::Page, "landing_pages"),
];
/// Those of what was done, each with the column by which it is known of which session a number is.
pub const LISTS: [(List, &str, Number); 5] = [
    (List::Kind, "kinds", Number::Actions),
    (List::Time, "times", Number::Actions),
    (List::Product, "products", Number::Actions),
    (List::View, "view_times", Number::Views),
    (List::Buyer, "buyers", Number::Flags),
];

/// What all sessions of a day have in a list at most: equal numbers take no room, and damaged bytes could ask for any number of them.
pub(super) const MOST_LISTED: usize = 1 << 26;

/// The bytes of a day are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a day of session_columns or order_columns cannot be read")]
pub struct Damaged;

/// Ids of sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    /// Those there are, each once.
    pub list: Vec<i64>,
    places: Vec<i64>,
    known: HashMap<i64, i64>,
}

/// Some sessions of one UTC day of `session_hour`.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    sessions: usize,
    numbers: [Vec<i64>; NUMBERS.len()],
    ids: [Ids; IDS.len()],
    actions: Ends,
    kinds: Ids,
    times: Vec<i64>,
    products: Ids,
    views: Ends,
    view_times: Vec<i64>,
    bought: Ends,
    buyers: Vec<i64>,
}

/// Where what each session has of a list ends; the next one's begins there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ends(Vec<usize>);

/// A session, as columns take it.
#[derive(Debug, Clone)]
struct Session {
    numbers: [i64; NUMBERS.len()],
    ids: [Option<i64>; IDS.len()],
    actions: Vec<Action>,
    view_times: Vec<i64>,
    buyer: Option<i64>,
}

/// What was done in a session: kind, time and product.
type Action = (Option<i64>, i64, Option<i64>);

impl Columns {
    /// How many sessions.
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// A column of numbers.
    pub fn numbers(&self, of: Number) -> &[i64] {
        &self.numbers[of as usize]
    }

    /// A column of ids.
    pub fn ids(&self, of: Id) -> &Ids {
        &self.ids[of as usize]
    }

    /// The places of a session's actions in [`Columns::kinds`], [`Columns::times`] and [`Columns::products`].
    pub fn actions(&self, session: usize) -> Range<usize> {
        self.actions.of(session)
    }

    /// Whose each action is: the places of sessions.
    pub fn doers(&self) -> Vec<usize> {
        self.actions.whose()
    }

    /// The kinds of actions.
    pub fn kinds(&self) -> &Ids {
        &self.kinds
    }

    /// When actions were done: microseconds from the start of their session.
    pub fn times(&self) -> &[i64] {
        &self.times
    }

    /// What actions were about.
    pub fn products(&self) -> &Ids {
        &self.products
    }

    /// When pages were viewed in a session: microseconds from its start.
    pub fn view_times(&self, session: usize) -> &[i64] {
        self.view_times.get(self.views.of(session)).unwrap_or_default()
    }

    /// By what a session with an order is known: [`id_hash`] of its id.
    pub fn buyer(&self, session: usize) -> Option<i64> {
        self.buyers.get(self.bought.of(session))?.first().copied()
    }

    /// Adds a session that `SESSIONS_OF_HOURS` gave, with what `ACTIONS_OF_HOURS` gave of it; `day` is that of its hour.
    pub fn add(
        &mut self,
        row: &Row,
        done: &HashMap<Uuid, Row>,
        day: Timestamp,
    ) -> Result<(), tokio_postgres::Error> {
        let session_id: Uuid = row.try_get("session_id")?;
        let done = done.get(&session_id);
        let flag = |column: &str, flag: i64| row.try_get::<_, bool>(column).map(|set| i64::from(set) * flag);
        let visitor = hash_of(row.try_get("visitor_id")?);
        let started_at: Timestamp = row.try_get("started_at")?;
        let since = |at: Timestamp| at.as_microsecond() - day.as_microsecond();
        let since_start = |at: &Timestamp| at.as_microsecond() - started_at.as_microsecond();
        let converted = flag("converted", flags::CONVERTED)?;
        let (kinds, times): (Vec<i32>, Vec<Timestamp>) = (list(done, "kinds")?, list(done, "times")?);
        let products: Vec<Option<i64>> = list(done, "products")?;
        let view_times: Vec<Timestamp> = list(done, "view_times")?;
        let actions = kinds.iter().zip(&times).zip(products);
        let actions = actions.map(|((kind, at), product)| (Some(i64::from(*kind)), since_start(at), product));
        let numbers = [
            since(row.try_get("session_hour")?).div_euclid(3_600_000_000),
            since(started_at),
            visitor.cast_signed(),
            sketch_code(visitor),
            i64::from(row.try_get::<_, i32>("session_number")?.clamp(0, 255)),
            flag("bot", flags::BOT)?
                | flag("bounced", flags::BOUNCED)?
                | converted
                | flag("lead", flags::LEAD)?
                | flag("registered", flags::REGISTRATION)?
                | flag("for_a_day", flags::FOR_A_DAY)?,
            row.try_get("page_views")?,
            row.try_get("milliseconds")?,
            row.try_get("points")?,
            -since_start(&row.try_get("began_at")?),
            since_start(&row.try_get("last_seen")?),
            times.len() as i64,
            view_times.len() as i64,
        ];
        let ids = [
            Some(i64::from(row.try_get::<_, i32>("site_id")?)),
            row.try_get("campaign_id")?,
            row.try_get("agent_id")?,
            row.try_get("place_id")?,
            row.try_get("referrer_id")?,
            row.try_get("landing_page_id")?,
        ];
        self.push(&Session {
            numbers,
            ids,
            actions: actions.collect(),
            view_times: view_times.iter().map(since_start).collect(),
            buyer: (converted != 0).then_some(id_hash(session_id)),
        });
        Ok(())
    }

    fn push(&mut self, session: &Session) {
        self.sessions += 1;
        for (column, number) in self.numbers.iter_mut().zip(session.numbers) {
            column.push(number);
        }
        for (column, id) in self.ids.iter_mut().zip(session.ids) {
            column.push(id);
        }
        for (kind, time, product) in &session.actions {
            self.kinds.push(*kind);
            self.times.push(*time);
            self.products.push(*product);
        }
        self.view_times.extend(&session.view_times);
        self.buyers.extend(session.buyer);
        self.actions.0.push(self.times.len());
        self.views.0.push(self.view_times.len());
        self.bought.0.push(self.buyers.len());
    }

    /// A session of a whole day.
    fn session(&self, session: usize) -> Session {
        let action = |action: usize| (self.kinds.of(action), self.times[action], self.products.of(action));
        Session {
            numbers: self.numbers.each_ref().map(|column| column[session]),
            ids: self.ids.each_ref().map(|column| column.of(session)),
            actions: self.actions(session).map(action).collect(),
            view_times: self.view_times(session).to_vec(),
            buyer: self.buyer(session),
        }
    }

    /// Adds those sessions of a whole day whose hours are not among these.
    pub fn add_but(&mut self, day: &Columns, hours: &[i64]) {
        for session in 0..day.sessions {
            if !hours.contains(&day.numbers[Number::Hour as usize][session]) {
                self.push(&day.session(session));
            }
        }
    }

    /// Empties all columns for so many sessions; room that a day before took is used again.
    fn begin(&mut self, count: i32) -> Result<(), Damaged> {
        let Columns {
            numbers,
            ids,
            actions,
            kinds,
            times,
            products,
            views,
            view_times,
            bought,
            buyers,
            sessions,
        } = self;
        *sessions = usize::try_from(count).map_err(|_| Damaged)?;
        numbers.iter_mut().chain([times, view_times, buyers]).for_each(Vec::clear);
        ids.iter_mut().chain([kinds, products]).for_each(Ids::clear);
        [actions, views, bought].into_iter().for_each(|ends| ends.0.clear());
        Ok(())
    }

    /// Adds a packed column of the table.
    pub fn read_numbers(&mut self, of: Number, bytes: &[u8]) -> Result<(), Damaged> {
        let numbers = &mut self.numbers[of as usize];
        unpack_into(bytes, self.sessions, numbers)?;
        match of {
            Number::Actions => self.actions.read(numbers.iter().copied())?,
            Number::Views => self.views.read(numbers.iter().copied())?,
            Number::Flags => {
                let has_order = |flags: &i64| i64::from(flags & flags::CONVERTED != 0);
                self.bought.read(numbers.iter().map(has_order))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The same of ids.
    pub fn read_ids(&mut self, of: Id, bytes: &[u8]) -> Result<(), Damaged> {
        self.ids[of as usize].read(bytes, self.sessions)
    }

    /// The same of lists; the numbers that say how many each session has come first.
    pub fn read_list(&mut self, of: List, bytes: &[u8]) -> Result<(), Damaged> {
        match of {
            List::Kind => self.kinds.read(bytes, self.actions.last()),
            List::Time => unpack_into(bytes, self.actions.last(), &mut self.times),
            List::Product => self.products.read(bytes, self.actions.last()),
            List::View => unpack_into(bytes, self.views.last(), &mut self.view_times),
            List::Buyer => unpack_into(bytes, self.bought.last(), &mut self.buyers),
        }
    }

    /// Becomes the columns of a row of the table that are not null.
    pub fn read<E: From<Damaged> + From<tokio_postgres::Error>>(&mut self, row: &Row) -> Result<(), E> {
        self.begin(row.try_get("sessions")?)?;
        for (number, name) in NUMBERS {
            if let Some(bytes) = row.try_get(name)? {
                self.read_numbers(number, bytes)?;
            }
        }
        for (id, name) in IDS {
            if let Some(bytes) = row.try_get(name)? {
                self.read_ids(id, bytes)?;
            }
        }
        for (list, name, _) in LISTS {
            if let Some(bytes) = row.try_get(name)? {
                self.read_list(list, bytes)?;
            }
        }
        Ok(())
    }

    /// All columns as the table has them.
    pub fn packed(&self) -> Vec<Vec<u8>> {
        let numbers = self.numbers.iter().map(|numbers| pack(numbers));
        let ids = self.ids.iter().map(Ids::packed);
        let lists = LISTS.iter().map(|(list, ..)| match list {
            List::Kind => self.kinds.packed(),
            List::Time => pack(&self.times),
            List::Product => self.products.packed(),
            List::View => pack(&self.view_times),
            List::Buyer => pack(&self.buyers),
        });
        numbers.chain(ids).chain(lists).collect()
    }
}

/// An array of what was done, if anything was.
fn list<'a, T: FromSql<'a>>(done: Option<&'a Row>, column: &str) -> Result<Vec<T>, tokio_postgres::Error> {
    Ok(done.map(|row| row.try_get::<_, Option<_>>(column)).transpose()?.flatten().unwrap_or_default())
}

impl Ends {
    /// Becomes those of so many of each.
    fn read(&mut self, counts: impl Iterator<Item = i64>) -> Result<(), Damaged> {
        self.0.clear();
        let (mut end, mut signs) = (0_i64, 0);
        self.0.extend(counts.map(|count| {
            signs |= count;
            end = end.saturating_add(count);
            usize::try_from(end).unwrap_or(usize::MAX)
        }));
        if signs < 0 || self.last() > MOST_LISTED {
            self.0.clear();
            return Err(Damaged);
        }
        Ok(())
    }

    /// Whose each place is: as many have ended before it as stand before whoever has it.
    fn whose(&self) -> Vec<usize> {
        let mut whose = vec![0; self.last() + 1];
        self.0.iter().for_each(|end| whose[*end] += 1);
        whose.pop();
        let mut ended = 0;
        for place in &mut whose {
            ended += *place;
            *place = ended;
        }
        whose
    }

    fn of(&self, session: usize) -> Range<usize> {
        let begin = session.checked_sub(1).and_then(|before| self.0.get(before)).copied().unwrap_or(0);
        begin..self.0.get(session).copied().unwrap_or(begin)
    }

    fn last(&self) -> usize {
        self.0.last().copied().unwrap_or(0)
    }
}

impl Ids {
    /// The id of a session.
    pub fn of(&self, session: usize) -> Option<i64> {
        self.list.get(self.place(session).checked_sub(1)?).copied()
    }

    /// Its place in the list, from 1; 0 for none.
    pub fn place(&self, session: usize) -> usize {
        usize::try_from(self.places[session]).unwrap_or(0)
    }

    pub(super) fn push(&mut self, id: Option<i64>) {
        let place = id.map_or(0, |id| {
            *self.known.entry(id).or_insert_with(|| {
                self.list.push(id);
                self.list.len() as i64
            })
        });
        self.places.push(place);
    }

    pub(super) fn packed(&self) -> Vec<u8> {
        let mut bytes = u32::try_from(self.list.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
        bytes.extend(self.list.iter().flat_map(|id| id.to_le_bytes()));
        bytes.extend(pack(&self.places));
        bytes
    }

    pub(super) fn unpack(bytes: &[u8], sessions: usize) -> Result<Ids, Damaged> {
        let mut ids = Ids::default();
        ids.read(bytes, sessions)?;
        Ok(ids)
    }

    /// Becomes what these bytes have.
    fn read(&mut self, bytes: &[u8], sessions: usize) -> Result<(), Damaged> {
        self.clear();
        let (count, rest) = bytes.split_first_chunk::<4>().ok_or(Damaged)?;
        let count = u32::from_le_bytes(*count) as usize;
        let (list, rest) = rest.split_at_checked(count.saturating_mul(8)).ok_or(Damaged)?;
        unpack_into(rest, sessions, &mut self.places)?;
        if self.places.iter().any(|place| !(0..=count as i64).contains(place)) {
            self.clear();
            return Err(Damaged);
        }
        self.list.extend(list.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)));
        Ok(())
    }

    fn clear(&mut self) {
        self.list.clear();
        self.places.clear();
        self.known.clear();
    }
}

/// What columns have of the id of a visitor, or of a session with an order: the first eight bytes of SHA-256 of it. Among half a
/// million people two have the same in one of 150 million cases.
pub fn id_hash(id: Uuid) -> i64 {
    hash_of(id).cast_signed()
}

fn hash_of(id: Uuid) -> u64 {
    first_eight(&Sha256::digest(id.as_bytes()))
}

/// The first eight bytes of a digest.
pub(super) fn first_eight(digest: &[u8]) -> u64 {
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// As `sketch_code()` of `migrations/V5__rollups.sql`: register << 8 | value.
fn sketch_code(hash: u64) -> i64 {
    let value = ((hash << 12).leading_zeros() + 1).min(53);
    ((hash >> 52) << 8).cast_signed() | i64::from(value)
}

/// Width in bytes, the least number, and of each what it has beyond that.
pub(super) fn pack(numbers: &[i64]) -> Vec<u8> {
    let least = numbers.iter().copied().min().unwrap_or(0);
    let beyond = |number: &i64| number.wrapping_sub(least).cast_unsigned();
    let widest = numbers.iter().map(beyond).max().unwrap_or(0);
    let width = (64 - widest.leading_zeros()).div_ceil(8);
    let mut bytes = Vec::with_capacity(9 + 8 * numbers.len());
    bytes.extend(&width.to_le_bytes()[..1]);
    bytes.extend(least.to_le_bytes());
    for number in numbers {
        bytes.extend_from_slice(&beyond(number).to_le_bytes()[..width as usize]);
    }
    bytes
}

pub(super) fn unpack(bytes: &[u8], count: usize) -> Result<Vec<i64>, Damaged> {
    let mut numbers = Vec::new();
    unpack_into(bytes, count, &mut numbers)?;
    Ok(numbers)
}

/// The same in place of what is there.
fn unpack_into(bytes: &[u8], count: usize, numbers: &mut Vec<i64>) -> Result<(), Damaged> {
    numbers.clear();
    let ([width], rest) = bytes.split_first_chunk::<1>().ok_or(Damaged)?;
    let (least, packed) = rest.split_first_chunk::<8>().ok_or(Damaged)?;
    let least = i64::from_le_bytes(*least);
    if packed.len() != count.checked_mul(usize::from(*width)).ok_or(Damaged)? {
        return Err(Damaged);
    }
    match width {
        0 => numbers.resize(count, least),
        1 => widen::<1>(packed, least, numbers),
        2 => widen::<2>(packed, least, numbers),
        3 => widen::<3>(packed, least, numbers),
        4 => widen::<4>(packed, least, numbers),
        5 => widen::<5>(packed, least, numbers),
        6 => widen::<6>(packed, least, numbers),
        7 => widen::<7>(packed, least, numbers),
        8 => widen::<8>(packed, least, numbers),
        _ => return Err(Damaged),
    }
    Ok(())
}

fn widen<const WIDTH: usize>(packed: &[u8], least: i64, numbers: &mut Vec<i64>) {
    numbers.extend(packed.as_chunks::<WIDTH>().0.iter().map(|bytes| {
        let mut wide = [0; 8];
        wide[..WIDTH].copy_from_slice(bytes);
        least.wrapping_add(i64::from_le_bytes(wide))
    }));
}

/// In the place of a width: numbers beyond 64 bits follow, the low halves of all with their length in front, and the high ones.
const WIDE: u8 = 9;

/// As [`pack`], also of numbers beyond 64 bits.
pub(super) fn pack_wide(numbers: &[i128]) -> Vec<u8> {
    let narrow: Result<Vec<i64>, _> = numbers.iter().map(|number| i64::try_from(*number)).collect();
    narrow.map_or_else(
        |_| {
            let halves: (Vec<i64>, Vec<i64>) = numbers.iter().map(|number| halves(*number)).unzip();
            std::iter::once(WIDE).chain(measured(pack(&halves.0))).chain(pack(&halves.1)).collect()
        },
        |numbers| pack(&numbers),
    )
}

pub(super) fn unpack_wide(bytes: &[u8], count: usize) -> Result<Vec<i128>, Damaged> {
    let Some((&WIDE, halves)) = bytes.split_first() else {
        return Ok(unpack(bytes, count)?.into_iter().map(i128::from).collect());
    };
    let (low, high) = part(halves)?;
    let (low, high) = (unpack(low, count)?, unpack(high, count)?);
    let whole = |(low, high): (i64, i64)| i128::from(high) << 64 | i128::from(low.cast_unsigned());
    Ok(low.into_iter().zip(high).map(whole).collect())
}

/// The low half of a number, and the high one.
fn halves(number: i128) -> (i64, i64) {
    let bytes = number.to_le_bytes();
    let half = |half: usize| i64::from_le_bytes(bytes.as_chunks().0[half]);
    (half(0), half(1))
}

/// Bytes with their length in front.
pub(super) fn measured(part: Vec<u8>) -> impl Iterator<Item = u8> {
    u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes().into_iter().chain(part)
}

/// Such bytes, and what follows them.
pub(super) fn part(bytes: &[u8]) -> Result<(&[u8], &[u8]), Damaged> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(Damaged)?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_visitor_is_what_it_always_was() {
        // SHA-256 of 00000000-0000-0000-0000-000000000001 begins with 7c3ccd10bb7ec37b.
        let hash = hash_of(Uuid::from_u128(1));
        assert_eq!((hash, sketch_code(hash)), (0x7c3c_cd10_bb7e_c37b, 0x7c3 << 8 | 1));
    }

    #[test]
    fn a_column_is_as_wide_as_it_must_be() {
        let widths =
            [(&[][..], 0), (&[7, 7], 0), (&[-3, 252], 1), (&[0, 256], 2), (&[i64::MIN, i64::MAX], 8)];
        for (numbers, width) in widths {
            let bytes = pack(numbers);
            assert_eq!((bytes.len(), bytes[0]), (9 + numbers.len() * usize::from(bytes[0]), width));
        }
    }

    /// Actions, page views, buyer.
    type Done = (Vec<Action>, Vec<i64>, Option<i64>);

    fn done() -> impl Strategy<Value = Done> {
        let action = ((0i64..4).prop_map(Some), -9i64..90_000_000_000, prop::option::of(-4i64..4));
        let views = prop::collection::vec(any::<i64>(), 0..4);
        (prop::collection::vec(action, 0..4), views, prop::option::of(any::<i64>()))
    }

    fn session(hour: i64, points: i64, (actions, view_times, buyer): &Done) -> Session {
        let flags = if buyer.is_some() { flags::CONVERTED | flags::BOT } else { flags::FOR_A_DAY };
        let (actions, view_times) = (actions.clone(), view_times.clone());
        let counts = [actions.len() as i64, view_times.len() as i64];
        let numbers = [hour, 0, 0, 0, 0, flags, 0, 0, points, 0, 0, counts[0], counts[1]];
        let ids = [Some(1), None, Some(hour), None, None, None];
        Session { numbers, ids, actions, view_times, buyer: *buyer }
    }

    /// Hours, points, and what was done.
    fn told(day: &Columns) -> Vec<(i64, i64, Done)> {
        let action = |action| (day.kinds().of(action), day.times()[action], day.products().of(action));
        let done = |session| {
            let actions = day.actions(session).map(action).collect();
            (actions, day.view_times(session).to_vec(), day.buyer(session))
        };
        let told = |session| {
            (day.ids(Id::Agent).of(session).unwrap(), day.numbers(Number::Points)[session], done(session))
        };
        let doers: Vec<usize> =
            (0..day.sessions()).flat_map(|session| day.actions(session).map(move |_| session)).collect();
        assert_eq!(day.doers(), doers);
        (0..day.sessions()).map(told).collect()
    }

    fn read_again(day: &Columns) -> Columns {
        let mut read = Columns::default();
        read_into(&mut read, day);
        read
    }

    fn read_into(read: &mut Columns, day: &Columns) {
        read.begin(day.sessions().try_into().unwrap()).unwrap();
        let mut packed = day.packed().into_iter();
        for (number, _) in NUMBERS {
            read.read_numbers(number, &packed.next().unwrap()).unwrap();
        }
        for (id, _) in IDS {
            read.read_ids(id, &packed.next().unwrap()).unwrap();
        }
        for (list, ..) in LISTS {
            read.read_list(list, &packed.next().unwrap()).unwrap();
        }
        assert_eq!(packed.next(), None);
    }

    /// As a monitor that keeps its cookie, on a day with nobody else.
    #[test]
    fn one_session_may_do_all_of_a_day() {
        let done: Done = (vec![(Some(1), 5, None); 70_000], (0..70_000).collect(), None);
        let mut day = Columns::default();
        day.push(&session(7, 1, &done));
        assert_eq!(told(&read_again(&day)), [(7, 1, done)]);
    }

    proptest! {
        #[test]
        fn numbers_come_back(
            numbers in prop_oneof![
                prop::collection::vec(any::<i64>(), 0..40), prop::collection::vec(-9i64..300, 0..40),
            ],
        ) {
            prop_assert_eq!(unpack(&pack(&numbers), numbers.len()), Ok(numbers));
        }

        #[test]
        fn numbers_beyond_64_bits_come_back_and_others_take_no_more_room(
            numbers in prop_oneof![
                prop::collection::vec(any::<i128>(), 0..40),
                prop::collection::vec(any::<i64>().prop_map(i128::from), 0..40),
                prop::collection::vec(prop_oneof![any::<i128>(), any::<i64>().prop_map(i128::from)], 0..40),
            ],
        ) {
            let bytes = pack_wide(&numbers);
            let narrow: Result<Vec<_>, _> = numbers.iter().map(|number| i64::try_from(*number)).collect();
            prop_assert!(narrow.map_or(true, |narrow| pack(&narrow) == bytes));
            prop_assert_eq!(unpack_wide(&bytes, numbers.len()), Ok(numbers));
        }

        #[test]
        fn ids_come_back(given in prop::collection::vec(prop::option::of(-4i64..4), 0..40)) {
            let mut ids = Ids::default();
            given.iter().for_each(|id| ids.push(*id));
            let read = Ids::unpack(&ids.packed(), given.len()).unwrap();
            prop_assert_eq!((0..given.len()).map(|session| read.of(session)).collect::<Vec<_>>(), given);
        }

        #[test]
        fn hours_are_replaced_and_others_stay(
            sessions in prop::collection::vec((0i64..24, any::<i64>(), done()), 0..40),
            hours in prop::collection::vec(0i64..24, 0..4),
        ) {
            let mut day = Columns::default();
            for (hour, points, done) in &sessions {
                day.push(&session(*hour, *points, done));
            }
            let mut left = Columns::default();
            left.add_but(&day, &hours);
            let kept: Vec<_> = sessions.into_iter().filter(|(hour, ..)| !hours.contains(hour)).collect();
            prop_assert_eq!(told(&left), kept);
        }

        #[test]
        fn what_was_done_comes_back_and_nothing_of_the_day_before(
            days in prop::collection::vec(prop::collection::vec((0i64..24, any::<i64>(), done()), 0..40), 1..4),
        ) {
            let mut read = Columns::default();
            for sessions in days {
                let mut day = Columns::default();
                for (hour, points, done) in &sessions {
                    day.push(&session(*hour, *points, done));
                }
                read_into(&mut read, &day);
                prop_assert_eq!(told(&read), sessions);
            }
        }

        #[test]
        fn any_counts_and_lists_are_read_or_refused(
            counts in prop::collection::vec(any::<u8>(), 0..40), list in prop::collection::vec(any::<u8>(), 0..60), sessions in 0i32..9,
        ) {
            for number in [Number::Actions, Number::Views, Number::Flags] {
                let mut day = Columns::default();
                day.begin(sessions).unwrap();
                if day.read_numbers(number, &counts).is_err() {
                    continue;
                }
                for (of, ..) in LISTS.iter().filter(|(.., by)| *by == number) {
                    let is_read = day.read_list(*of, &list).is_ok();
                    for session in 0..day.sessions() {
                        let (views, buyer) = (day.view_times(session).len(), day.buyer(session));
                        for action in day.actions(session).filter(|_| is_read) {
                            match of {
                                List::Kind => drop(day.kinds().of(action)),
                                List::Time => prop_assert!(day.times().get(action).is_some()),
                                List::Product => drop(day.products().of(action)),
                                _ => {}
                            }
                        }
                        prop_assert!(is_read || (views == 0 && buyer.is_none()));
                    }
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0usize..9) {
            let _ = unpack(&bytes, count);
            if let Ok(ids) = Ids::unpack(&bytes, count) {
                (0..count).for_each(|session| { ids.of(session); });
            }
        }
    }
}
