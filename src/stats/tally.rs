//! What sessions add up to, in general-stats, a bucket of a series, or a group of a list.

use std::ops::AddAssign;

use tokio_postgres::Row;

use crate::stats::scan::Part;
use crate::store::columns::{Number, flags};

/// The columns that all of it is of.
pub(crate) const TALLIED: [Number; 5] =
    [Number::Number, Number::Flags, Number::PageViews, Number::Milliseconds, Number::Points];

/// Sums of sessions. All are whole numbers, so that they do not hang on the order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) sessions: i64,
    pub(crate) first_visits: i64,
    pub(crate) page_views: i64,
    pub(crate) bounces: i64,
    pub(crate) milliseconds: i64,
    pub(crate) conversions: i64,
    pub(crate) leads: i64,
    pub(crate) registrations: i64,
    pub(crate) points: i64,
}

impl Tally {
    /// What sessions of a part add; nothing of columns that were not asked for.
    pub(crate) fn of(part: &Part, sessions: &[usize]) -> Tally {
        // Column by column: each is a short loop, and most lists have three of them.
        let sum = |of: Number, adds: fn(i64) -> i64| match part.numbers(of) {
            [] => 0,
            numbers => sessions.iter().map(|session| adds(numbers[*session])).sum(),
        };
        let mut tally = Tally {
            sessions: sessions.len() as i64,
            first_visits: sum(Number::Number, |number| i64::from(number == 1)),
            page_views: sum(Number::PageViews, |views| views),
            milliseconds: sum(Number::Milliseconds, |milliseconds| milliseconds),
            points: sum(Number::Points, |points| points),
            ..Tally::default()
        };
        let set = part.numbers(Number::Flags);
        sessions.iter().filter_map(|session| set.get(*session)).for_each(|set| tally.add_flags(*set));
        tally
    }

    /// Adds what the flags of a session say.
    fn add_flags(&mut self, set: i64) {
        let flag = |flag: i64| i64::from(set & flag != 0);
        self.bounces += flag(flags::BOUNCED);
        self.conversions += flag(flags::CONVERTED);
        self.leads += flag(flags::LEAD);
        self.registrations += flag(flags::REGISTRATION);
    }

    /// As `general_sessions.sql` and its like have them.
    pub(crate) fn read(row: &Row) -> Result<Tally, tokio_postgres::Error> {
        Ok(Tally {
            sessions: row.try_get("sessions")?,
            first_visits: row.try_get("first_visits")?,
            page_views: row.try_get("page_views")?,
            bounces: row.try_get("bounces")?,
            milliseconds: row.try_get("milliseconds")?,
            conversions: row.try_get("conversions")?,
            leads: row.try_get("lead_sessions")?,
            registrations: row.try_get("registrations")?,
            points: row.try_get("points")?,
        })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.sessions += other.sessions;
        self.first_visits += other.first_visits;
        self.page_views += other.page_views;
        self.bounces += other.bounces;
        self.milliseconds += other.milliseconds;
        self.conversions += other.conversions;
        self.leads += other.leads;
        self.registrations += other.registrations;
        self.points += other.points;
    }
}
