//! Windows of time: local days of a zone, half-open, right across changes of the clock.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

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
