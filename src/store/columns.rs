//! A day of sessions, column by column, as `migrations/V26__columns.sql` keeps it: one number of every session each. Packed, a
//! column is as wide as its greatest number needs; ids are places in a list of those that the day has.
//!
//! What a column was not asked for is empty. Bytes that no version of this program wrote are an error, never other numbers.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use uuid::Uuid;

/// The sessions of hours, `$1`, that reports count: for [`Columns::add`].
pub const SESSIONS_OF_HOURS: &str = include_str!("sql/column_sessions.sql");

/// What the flags of a session say.
pub mod flags {
    #![allow(missing_docs, reason = "the names say it")]
    pub const BOT: i64 = 1;
    pub const BOUNCED: i64 = 2;
    pub const CONVERTED: i64 = 4;
    pub const LEAD: i64 = 8;
    pub const REGISTRATION: i64 = 16;
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

/// The UTC day that an hour is of, and which of its hours it is, from 0.
pub fn day_and_hour(hour: Timestamp) -> (Timestamp, i64) {
    let hours = hour.as_second().div_euclid(3600).rem_euclid(24);
    (hour - SignedDuration::from_hours(hours), hours)
}

/// The UTC day that an instant is of.
pub fn day_of(at: Timestamp) -> Timestamp {
    at - SignedDuration::from_micros(at.as_microsecond().rem_euclid(86_400_000_000))
}

/// The columns of the table, in its order: numbers, then ids.
pub const NUMBERS: [(Number, &str); 9] = [
    (Number::Hour, "hours"),
    (Number::Start, "starts"),
    (Number::Visitor, "visitors"),
    (Number::Sketch, "sketches"),
    (Number::Number, "numbers"),
    (Number::Flags, "flags"),
    (Number::PageViews, "page_views"),
    (Number::Milliseconds, "milliseconds"),
    (Number::Points, "points"),
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
}

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

    /// Adds a session that `SESSIONS_OF_HOURS` gave; `day` is that of its hour.
    pub fn add(&mut self, row: &Row, day: Timestamp) -> Result<(), tokio_postgres::Error> {
        let flag = |column: &str, flag: i64| row.try_get::<_, bool>(column).map(|set| i64::from(set) * flag);
        let visitor = hash_of(row.try_get("visitor_id")?);
        let since = |at: Timestamp| at.as_microsecond() - day.as_microsecond();
        let numbers = [
            since(row.try_get("session_hour")?).div_euclid(3_600_000_000),
            since(row.try_get("started_at")?),
            visitor.cast_signed(),
            sketch_code(visitor),
            i64::from(row.try_get::<_, i32>("session_number")?.clamp(0, 255)),
            flag("bot", flags::BOT)?
                | flag("bounced", flags::BOUNCED)?
                | flag("converted", flags::CONVERTED)?
                | flag("lead", flags::LEAD)?
                | flag("registered", flags::REGISTRATION)?,
            row.try_get("page_views")?,
            row.try_get("milliseconds")?,
            row.try_get("points")?,
        ];
        let ids = [
            Some(i64::from(row.try_get::<_, i32>("site_id")?)),
            row.try_get("campaign_id")?,
            row.try_get("agent_id")?,
            row.try_get("place_id")?,
            row.try_get("referrer_id")?,
            row.try_get("landing_page_id")?,
        ];
        self.push(numbers, ids);
        Ok(())
    }

    fn push(&mut self, numbers: [i64; NUMBERS.len()], ids: [Option<i64>; IDS.len()]) {
        self.sessions += 1;
        for (column, number) in self.numbers.iter_mut().zip(numbers) {
            column.push(number);
        }
        for (column, id) in self.ids.iter_mut().zip(ids) {
            column.push(id);
        }
    }

    /// Adds those sessions of a whole day whose hours are not among these.
    pub fn add_but(&mut self, day: &Columns, hours: &[i64]) {
        for session in 0..day.sessions {
            if !hours.contains(&day.numbers[Number::Hour as usize][session]) {
                let numbers = day.numbers.each_ref().map(|column| column[session]);
                self.push(numbers, day.ids.each_ref().map(|column| column.of(session)));
            }
        }
    }

    /// Says how many sessions there are, whatever columns are read.
    pub fn of_sessions(sessions: i32) -> Result<Columns, Damaged> {
        let sessions = usize::try_from(sessions).map_err(|_| Damaged)?;
        Ok(Columns { sessions, ..Columns::default() })
    }

    /// Adds a packed column of the table.
    pub fn read_numbers(&mut self, of: Number, bytes: &[u8]) -> Result<(), Damaged> {
        self.numbers[of as usize] = unpack(bytes, self.sessions)?;
        Ok(())
    }

    /// The same of ids.
    pub fn read_ids(&mut self, of: Id, bytes: &[u8]) -> Result<(), Damaged> {
        self.ids[of as usize] = Ids::unpack(bytes, self.sessions)?;
        Ok(())
    }

    /// The columns of a row of the table that are not null.
    pub fn read<E: From<Damaged> + From<tokio_postgres::Error>>(row: &Row) -> Result<Columns, E> {
        let mut columns = Columns::of_sessions(row.try_get("sessions")?)?;
        for (number, name) in NUMBERS {
            if let Some(bytes) = row.try_get(name)? {
                columns.read_numbers(number, bytes)?;
            }
        }
        for (id, name) in IDS {
            if let Some(bytes) = row.try_get(name)? {
                columns.read_ids(id, bytes)?;
            }
        }
        Ok(columns)
    }

    /// All columns as the table has them.
    pub fn packed(&self) -> Vec<Vec<u8>> {
        self.numbers.iter().map(|numbers| pack(numbers)).chain(self.ids.iter().map(Ids::packed)).collect()
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
        let (count, rest) = bytes.split_first_chunk::<4>().ok_or(Damaged)?;
        let count = u32::from_le_bytes(*count) as usize;
        let (list, rest) = rest.split_at_checked(count.saturating_mul(8)).ok_or(Damaged)?;
        let list = list.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
        let places = unpack(rest, sessions)?;
        if places.iter().any(|place| !(0..=count as i64).contains(place)) {
            return Err(Damaged);
        }
        Ok(Ids { list, places, known: HashMap::new() })
    }
}

/// What the column of visitors has of one: the first eight bytes of SHA-256 of the visitor id. Among half a million people two
/// have the same in one of 150 million cases.
pub fn visitor_hash(visitor: Uuid) -> i64 {
    hash_of(visitor).cast_signed()
}

fn hash_of(visitor: Uuid) -> u64 {
    first_eight(&Sha256::digest(visitor.as_bytes()))
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
    let ([width], rest) = bytes.split_first_chunk::<1>().ok_or(Damaged)?;
    let (least, packed) = rest.split_first_chunk::<8>().ok_or(Damaged)?;
    let least = i64::from_le_bytes(*least);
    if packed.len() != count.checked_mul(usize::from(*width)).ok_or(Damaged)? {
        return Err(Damaged);
    }
    Ok(match width {
        0 => vec![least; count],
        1 => widen::<1>(packed, least),
        2 => widen::<2>(packed, least),
        3 => widen::<3>(packed, least),
        4 => widen::<4>(packed, least),
        5 => widen::<5>(packed, least),
        6 => widen::<6>(packed, least),
        7 => widen::<7>(packed, least),
        8 => widen::<8>(packed, least),
        _ => return Err(Damaged),
    })
}

fn widen<const WIDTH: usize>(packed: &[u8], least: i64) -> Vec<i64> {
    let numbers = packed.as_chunks::<WIDTH>().0.iter();
    let widened = numbers.map(|bytes| {
        let mut wide = [0; 8];
        wide[..WIDTH].copy_from_slice(bytes);
        least.wrapping_add(i64::from_le_bytes(wide))
    });
    widened.collect()
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
        fn ids_come_back(given in prop::collection::vec(prop::option::of(-4i64..4), 0..40)) {
            let mut ids = Ids::default();
            given.iter().for_each(|id| ids.push(*id));
            let read = Ids::unpack(&ids.packed(), given.len()).unwrap();
            prop_assert_eq!((0..given.len()).map(|session| read.of(session)).collect::<Vec<_>>(), given);
        }

        #[test]
        fn hours_are_replaced_and_others_stay(
            sessions in prop::collection::vec((0i64..24, any::<i64>()), 0..40), hours in prop::collection::vec(0i64..24, 0..4),
        ) {
            let mut day = Columns::default();
            for (hour, points) in &sessions {
                day.push([*hour, 0, 0, 0, 0, 0, 0, 0, *points], [Some(1), None, Some(*hour), None, None, None]);
            }
            let mut left = Columns::default();
            left.add_but(&day, &hours);
            let kept: Vec<_> = sessions.into_iter().filter(|(hour, _)| !hours.contains(hour)).collect();
            let told = |session| (left.ids(Id::Agent).of(session).unwrap(), left.numbers(Number::Points)[session]);
            prop_assert_eq!((0..left.sessions()).map(told).collect::<Vec<_>>(), kept);
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
