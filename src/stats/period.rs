//! Windows of time: local days of a zone, half-open, right across changes of the clock.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

/// The names that `period` takes.
pub(crate) const PERIODS: &[&str] = &["today", "yesterday", "week", "month", "90d", "year", "all_time"];

/// Instants from `from` (none = since ever) to `to`, without `to` itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// The first instant in it.
    pub(crate) from: Option<Timestamp>,
    /// The first instant after it.
    pub(crate) to: Timestamp,
}

/// A named period: so many local days, the last of them so many days ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    name: &'static str,
    /// None = since ever.
    days: Option<i32>,
    ended_days_ago: i32,
}

impl Period {
    /// The period when nothing is said.
    pub(crate) const TODAY: Period = Period { name: "today", days: Some(1), ended_days_ago: 0 };

    /// Reads one of [`PERIODS`].
    pub(crate) fn parse(name: &str) -> Option<Period> {
        let (days, ended_days_ago) = match name {
            "today" => (Some(1), 0),
            "yesterday" => (Some(1), 1),
            "week" => (Some(7), 0),
            "month" => (Some(30), 0),
            "90d" => (Some(90), 0),
            "year" => (Some(365), 0),
            "all_time" => (None, 0),
            _ => return None,
        };
        let name = PERIODS.iter().find(|known| **known == name)?;
        Some(Period { name, days, ended_days_ago })
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    /// The window it is at `now` in this zone. It reaches to the end of its last day.
    pub(crate) fn window(self, now: Timestamp, zone: &TimeZone) -> Result<Window, jiff::Error> {
        let end = now.to_zoned(zone.clone()).date().checked_add(Span::new().days(1 - self.ended_days_ago))?;
        let from = match self.days {
            None => None,
            Some(days) => Some(start_of_day(end.checked_sub(Span::new().days(days))?, zone)?),
        };
        Ok(Window { from, to: start_of_day(end, zone)? })
    }
}

/// What a bucket of a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Hour,
    Day,
    /// From Monday.
    Week,
    Month,
}

/// The names that a step takes.
pub(crate) const STEPS: &[&str] = &["hour", "day", "week", "month"];

impl Step {
    /// Reads one of [`STEPS`].
    pub(crate) fn parse(name: &str) -> Option<Step> {
        Some(match name {
            "hour" => Step::Hour,
            "day" => Step::Day,
            "week" => Step::Week,
            "month" => Step::Month,
            _ => return None,
        })
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Step::Hour => "hour",
            Step::Day => "day",
            Step::Week => "week",
            Step::Month => "month",
        }
    }

    /// The one in which a window has not too many buckets to look at, and not too few.
    pub(crate) fn fitting(from: Timestamp, to: Timestamp) -> Step {
        match to.duration_since(from).as_hours() / 24 {
            ..=2 => Step::Hour,
            3..=92 => Step::Day,
            93..=730 => Step::Week,
            _ => Step::Month,
        }
    }

    /// The edges of the buckets of [from, to): the first and the last are those of the window itself, the others
    /// beginnings of local hours, days, weeks or months. None when there are more than `most` buckets.
    pub(crate) fn edges(
        self,
        from: Timestamp,
        to: Timestamp,
        zone: &TimeZone,
        most: usize,
    ) -> Result<Option<Vec<Timestamp>>, jiff::Error> {
        let mut edges = vec![from];
        let mut at = from;
        while at < to {
            if edges.len() > most {
                return Ok(None);
            }
            at = self.next(at, zone)?.min(to);
            edges.push(at);
        }
        Ok(Some(edges))
    }

    /// The first beginning after `at`.
    pub(crate) fn next(self, at: Timestamp, zone: &TimeZone) -> Result<Timestamp, jiff::Error> {
        let local = at.to_zoned(zone.clone());
        if self == Step::Hour {
            let passed = SignedDuration::new(
                i64::from(local.minute()) * 60 + i64::from(local.second()),
                local.subsec_nanosecond(),
            );
            return at.checked_add(SignedDuration::from_hours(1) - passed);
        }
        let mut date = match self {
            Step::Hour | Step::Day => local.date().tomorrow()?,
            Step::Week => local
                .date()
                .checked_add(Span::new().days(7 - i64::from(local.weekday().to_monday_zero_offset())))?,
            Step::Month => local.date().first_of_month().checked_add(Span::new().months(1))?,
        };
        // A zone may skip a whole day: its beginning is that of the day after.
        loop {
            let next = start_of_day(date, zone)?;
            if next > at {
                return Ok(next);
            }
            date = date.tomorrow()?;
        }
    }
}

/// `compare=`: the window that is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// As many days before it, or the same time where it is not of whole days.
    PreviousPeriod,
    /// The same dates a year earlier.
    PreviousYear,
}

/// The names that a comparison takes.
pub(crate) const COMPARISONS: &[&str] = &["previous_period", "previous_year"];

impl Comparison {
    /// Reads one of [`COMPARISONS`].
    pub(crate) fn parse(name: &str) -> Option<Comparison> {
        match name {
            "previous_period" => Some(Comparison::PreviousPeriod),
            "previous_year" => Some(Comparison::PreviousYear),
            _ => None,
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Comparison::PreviousPeriod => "previous_period",
            Comparison::PreviousYear => "previous_year",
        }
    }

    /// What [from, to) is compared with, by the calendar.
    pub(crate) fn window(
        self,
        from: Timestamp,
        to: Timestamp,
        zone: &TimeZone,
    ) -> Result<(Timestamp, Timestamp), jiff::Error> {
        let earlier = |at: Timestamp, span: Span| -> Result<Timestamp, jiff::Error> {
            let local = at.to_zoned(zone.clone());
            let day = local.date().checked_sub(span)?;
            if start_of_day(local.date(), zone)? == at {
                return start_of_day(day, zone);
            }
            Ok(local.with().date(day).build()?.timestamp())
        };
        if self == Comparison::PreviousYear {
            let year = Span::new().years(1);
            return Ok((earlier(from, year)?, earlier(to, year)?));
        }
        let [first, last] = [from, to].map(|at| at.to_zoned(zone.clone()).date());
        if start_of_day(first, zone)? == from && start_of_day(last, zone)? == to {
            return Ok((earlier(from, Span::new().days(first.until(last)?.get_days()))?, from));
        }
        Ok((from.checked_sub(to.duration_since(from))?, from))
    }

    /// The part of [from, to) that is over, and a window before it that is exactly as long: it begins where the one by the
    /// calendar does, or earlier where the clock was changed and it would reach into the part that is over.
    pub(crate) fn equally_long(
        self,
        from: Timestamp,
        to: Timestamp,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<[Window; 2], jiff::Error> {
        let over = if now > from { to.min(now) } else { to };
        let elapsed = over.duration_since(from);
        let before = self.window(from, to, zone)?.0.min(from.checked_sub(elapsed)?);
        Ok([
            Window { from: Some(from), to: over },
            Window { from: Some(before), to: before.checked_add(elapsed)? },
        ])
    }
}

/// The first instant of a local day, also where the clock jumps over midnight.
pub(crate) fn start_of_day(date: Date, zone: &TimeZone) -> Result<Timestamp, jiff::Error> {
    Ok(date.to_zoned(zone.clone())?.start_of_day()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn window(period: &str, now: &str, zone_name: &str) -> (Option<String>, String) {
        let window = Period::parse(period).unwrap().window(now.parse().unwrap(), &zone(zone_name)).unwrap();
        (window.from.map(|from| from.to_string()), window.to.to_string())
    }

    #[test]
    fn today_begins_at_local_midnight() {
        // 23:30 UTC is already the next day in Kyiv.
        let (from, to) = window("today", "2026-11-21T23:30:00Z", "Europe/Kyiv");
        assert_eq!((from.as_deref(), to.as_str()), (Some("2026-11-21T22:00:00Z"), "2026-11-22T22:00:00Z"));
    }

    #[test]
    fn days_of_a_clock_change_have_23_and_25_hours() {
        let hours = |now: &str| {
            let window = Period::TODAY.window(now.parse().unwrap(), &zone("Europe/Kyiv")).unwrap();
            window.to.duration_since(window.from.unwrap()).as_hours()
        };
        assert_eq!(hours("2026-03-29T12:00:00Z"), 23);
        assert_eq!(hours("2026-10-25T12:00:00Z"), 25);
    }

    #[test]
    fn a_day_without_midnight_begins_after_the_jump() {
        // Beirut 2022-03-27: 00:00 became 01:00.
        let (from, _) = window("today", "2022-03-27T12:00:00Z", "Asia/Beirut");
        assert_eq!(from.as_deref(), Some("2022-03-26T22:00:00Z"));
    }

    #[test]
    fn a_week_is_seven_days_with_today_and_yesterday_is_not_in_today() {
        let (from, to) = window("week", "2026-11-22T12:00:00Z", "UTC");
        assert_eq!((from.as_deref(), to.as_str()), (Some("2026-11-16T00:00:00Z"), "2026-11-23T00:00:00Z"));
        let (from, to) = window("yesterday", "2026-11-22T12:00:00Z", "UTC");
        assert_eq!((from.as_deref(), to.as_str()), (Some("2026-11-21T00:00:00Z"), "2026-11-22T00:00:00Z"));
        assert_eq!(window("all_time", "2026-11-22T12:00:00Z", "UTC").0, None);
    }

    proptest! {
        #[test]
        fn windows_hold_now_and_begin_at_local_midnights(
            seconds in 946_684_800_i64..4_102_444_800,
            zone_name in proptest::sample::select(vec![
                "UTC", "Europe/Kyiv", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns",
                "Pacific/Apia", "America/Sao_Paulo", "Africa/Cairo",
            ]),
            name in proptest::sample::select(vec!["today", "week", "month", "90d", "year"]),
        ) {
            let zone = zone(zone_name);
            let now = Timestamp::from_second(seconds).unwrap();
            let period = Period::parse(name).unwrap();
            let window = period.window(now, &zone).unwrap();
            let from = window.from.unwrap();
            prop_assert!(from <= now && now < window.to);
            for edge in [from, window.to] {
                // A zone may skip midnight, or (Apia 2011) a whole day: the instant before is of an earlier date.
                let before = Timestamp::from_second(edge.as_second() - 1).unwrap();
                prop_assert!(before.to_zoned(zone.clone()).date() < edge.to_zoned(zone.clone()).date());
            }
            let dates = from.to_zoned(zone.clone()).date().until(window.to.to_zoned(zone.clone()).date()).unwrap();
            prop_assert!((dates.get_days() - period.days.unwrap()).abs() <= 1);
        }
    }
}
