//! Stretches of time in which readings are gathered: of a fixed length, or the days, weeks and months of a time zone.

use chrono::{Datelike as _, Days, Months, NaiveDate, NaiveTime, TimeZone as _};
use chrono_tz::{GapInfo, Tz};

use crate::clock::Timestamp;

/// The stretches into which time is parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// So many ms each, counted from 1970 (UTC).
    Fixed(i64),
    /// As the clocks of a time zone have them: a day may have 23 or 25 hours.
    Local(CalendarUnit, Tz),
}

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarUnit {
    Day,
    /// From Monday on (ISO 8601).
    Week,
    Month,
}

impl CalendarUnit {
    /// The unit that is written so: `1d`, `1w` or `1mo`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "1d" => Self::Day,
            "1w" => Self::Week,
            "1mo" => Self::Month,
            _ => return None,
        })
    }

    /// The first day of the unit that `day` is in.
    fn first_day(self, day: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Day => Some(day),
            Self::Week => day.checked_sub_days(Days::new(day.weekday().num_days_from_monday().into())),
            Self::Month => day.with_day(1),
        }
    }

    /// The first day of the next unit; `day` is the first of one.
    fn next(self, day: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Day => day.succ_opt(),
            Self::Week => day.checked_add_days(Days::new(7)),
            Self::Month => day.checked_add_months(Months::new(1)),
        }
    }
}

impl Interval {
    /// The start of the stretch that `at` is in, and its end, which is the start of the next.
    #[must_use]
    pub fn around(self, at: Timestamp) -> (Timestamp, Timestamp) {
        match self {
            Self::Fixed(ms) => {
                let ms = ms.max(1);
                let start = at.millis().div_euclid(ms).saturating_mul(ms);
                (Timestamp::from_millis(start), Timestamp::from_millis(start.saturating_add(ms)))
            }
            // Beyond the years that a calendar has all is one.
            Self::Local(unit, zone) => local(unit, zone, at).unwrap_or((at, at.plus_millis(1))),
        }
    }

    /// The start of the stretch that `at` is in.
    #[must_use]
    pub fn start_of(self, at: Timestamp) -> Timestamp {
        self.around(at).0
    }
}

fn local(unit: CalendarUnit, zone: Tz, at: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let day = zone.timestamp_millis_opt(at.millis()).single()?.date_naive();
    let first = unit.first_day(day)?;
    Some((midnight(zone, first)?, midnight(zone, unit.next(first)?)?))
}

/// The first moment of a day. Where clocks are put forward over midnight, it is the moment at which they are.
fn midnight(zone: Tz, day: NaiveDate) -> Option<Timestamp> {
    let local = day.and_time(NaiveTime::MIN);
    let first = match zone.from_local_datetime(&local).earliest() {
        Some(first) => first,
        None => GapInfo::new(&local, &zone)?.end?,
    };
    Some(Timestamp::from_millis(first.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn check(unit: &str, zone: Tz, inside: &str, start: &str, hours: i64) {
        let interval = Interval::Local(CalendarUnit::parse(unit).unwrap(), zone);
        let (begins, ends) = interval.around(at(inside));
        assert_eq!(begins.to_string(), at(start).to_string(), "{unit} {zone} {inside}");
        assert_eq!(ends.millis() - begins.millis(), hours * HOUR, "{unit} {zone} {inside}");
        // The moment before is of the stretch before, and the end is of the next.
        assert_eq!(interval.around(begins.plus_millis(-1)).1, begins);
        assert_eq!(interval.around(ends).0, ends);
    }

    #[test]
    fn days_weeks_and_months_are_those_of_the_clocks() {
        let berlin = Tz::Europe__Berlin;
        check("1d", berlin, "2026-12-01T08:00:00Z", "2026-11-30T23:00:00Z", 24);
        check("1d", berlin, "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", 23);
        check("1d", berlin, "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", 25);
        check("1w", berlin, "2026-03-29T12:00:00Z", "2026-03-22T23:00:00Z", 7 * 24 - 1);
        check("1w", berlin, "2026-10-19T12:00:00Z", "2026-10-18T22:00:00Z", 7 * 24 + 1);
        check("1mo", berlin, "2026-10-31T12:00:00Z", "2026-09-30T22:00:00Z", 31 * 24 + 1);
        check("1mo", berlin, "2026-02-01T00:00:00Z", "2026-01-31T23:00:00Z", 28 * 24);
        check("1d", Tz::UTC, "1969-12-31T23:59:59.999Z", "1969-12-31T00:00:00Z", 24);
        // Clocks that go forward, and back, at midnight itself.
        check("1d", Tz::America__Sao_Paulo, "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", 23);
        check("1d", Tz::America__Sao_Paulo, "2018-02-17T12:00:00Z", "2018-02-17T02:00:00Z", 25);
        check("1d", Tz::Asia__Kolkata, "2026-12-01T18:29:59Z", "2026-11-30T18:30:00Z", 24);
        // A day that a place left out, and a shift of half an hour.
        check("1d", Tz::Pacific__Apia, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", 24);
        check("1d", Tz::Australia__Lord_Howe, "2026-12-01T12:00:00Z", "2026-11-30T13:00:00Z", 24);
    }

    #[test]
    fn a_fixed_interval_is_counted_from_1970() {
        for (ms, inside, start) in [(60_000, 61_000, 60_000), (60_000, -1, -60_000), (0, 5, 5), (7, -7, -7)] {
            let start = Timestamp::from_millis(start);
            assert_eq!(Interval::Fixed(ms).start_of(Timestamp::from_millis(inside)), start, "{ms} {inside}");
        }
    }

    proptest! {
        /// Every moment is in one stretch, which has the date that a clock there shows.
        #[test]
        fn stretches_part_time(
            millis in -2_000_000_000_000_i64..4_000_000_000_000,
            zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
            unit in prop::sample::select(vec![CalendarUnit::Day, CalendarUnit::Week, CalendarUnit::Month]),
        ) {
            let (interval, at) = (Interval::Local(unit, zone), Timestamp::from_millis(millis));
            let (start, end) = interval.around(at);
            prop_assert!(start <= at && at < end, "{zone} {unit:?} {start} {at} {end}");
            prop_assert_eq!(interval.around(start), (start, end));
            prop_assert_eq!(interval.around(end.plus_millis(-1)), (start, end));
            let date = |at: Timestamp| zone.timestamp_millis_opt(at.millis()).unwrap().date_naive();
            prop_assert_eq!(unit.first_day(date(start)), unit.first_day(date(at)));
            prop_assert!(unit.first_day(date(end)) > unit.first_day(date(at)));
        }
    }
}
