//! Counts of readings over the last week, by the readings' own time: by the minute for the last day, by the hour beyond,
//! so that a sensor's counts stay small however often it speaks.

use std::collections::BTreeMap;

use twinhub_domain::Timestamp;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Counts by the minute reach back so far: a little more than the day that is asked for unless something else is.
const FINE_MS: i64 = 25 * HOUR_MS;
/// The longest stretch that is asked for.
pub const WEEK_MS: i64 = 7 * 24 * HOUR_MS;

/// A number of readings, and of those among them that are anomalies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadingCount {
    pub readings: u64,
    pub anomalies: u64,
}

/// The counts of one sensor.
#[derive(Debug, Default)]
pub(super) struct ReadingTally {
    /// By the start of the minute.
    minutes: BTreeMap<i64, ReadingCount>,
    /// By the start of the hour; of times that are in no minute.
    hours: BTreeMap<i64, ReadingCount>,
}

impl ReadingCount {
    fn of(anomaly: bool) -> Self {
        Self { readings: 1, anomalies: u64::from(anomaly) }
    }

    /// Adds the other to it.
    pub fn add(&mut self, other: Self) {
        self.readings += other.readings;
        self.anomalies += other.anomalies;
    }
}

impl ReadingTally {
    /// Counts a reading of the moment `at`. One that is older than a week is passed over.
    pub(super) fn count(&mut self, at: Timestamp, anomaly: bool, now: Timestamp) {
        let (at, oldest) = (at.millis(), now.millis().saturating_sub(WEEK_MS));
        if at < start_of(oldest, HOUR_MS) {
            return;
        }
        let minute = start_of(at, MINUTE_MS);
        let (counts, place) = match minute < finest(now) {
            true => (&mut self.hours, start_of(at, HOUR_MS)),
            false => (&mut self.minutes, minute),
        };
        let is_new = !counts.contains_key(&place);
        counts.entry(place).or_default().add(ReadingCount::of(anomaly));
        if is_new {
            self.age(now);
        }
    }

    /// The count of readings of the time from `from` to `to`, to the minute or the hour that either is in.
    pub(super) fn between(&self, from: Timestamp, to: Timestamp) -> ReadingCount {
        let mut sum = ReadingCount::default();
        for (counts, step) in [(&self.minutes, MINUTE_MS), (&self.hours, HOUR_MS)] {
            let range = start_of(from.millis(), step)..=to.millis();
            if !range.is_empty() {
                counts.range(range).for_each(|(_, count)| sum.add(*count));
            }
        }
        sum
    }

    /// Puts minutes that are long past into their hours, and hours into oblivion.
    fn age(&mut self, now: Timestamp) {
        let young = self.minutes.split_off(&finest(now));
        for (minute, count) in std::mem::replace(&mut self.minutes, young) {
            self.hours.entry(start_of(minute, HOUR_MS)).or_default().add(count);
        }
        let oldest = start_of(now.millis().saturating_sub(WEEK_MS), HOUR_MS);
        self.hours = self.hours.split_off(&oldest);
    }
}

/// The first minute that is counted by itself: it begins an hour, so that no hour is counted both ways.
fn finest(now: Timestamp) -> i64 {
    start_of(now.millis().saturating_sub(FINE_MS), HOUR_MS)
}

fn start_of(at: i64, step: i64) -> i64 {
    at.div_euclid(step).saturating_mul(step)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_millis(minute * MINUTE_MS)
    }

    #[test]
    fn counts_reach_back_a_week() {
        let mut tally = ReadingTally::default();
        let now = at(20_000);
        for minutes_ago in [0, 59, 60, 26 * 60, 7 * 24 * 60, 8 * 24 * 60] {
            tally.count(at(20_000 - minutes_ago), minutes_ago == 60, now);
        }
        let last = |hours: i64| tally.between(at(20_000 - hours * 60), now);
        assert_eq!(last(1), ReadingCount { readings: 3, anomalies: 1 });
        assert_eq!(last(24).readings, 3);
        assert_eq!(last(27).readings, 4);
        assert_eq!(last(168).readings, 5);
        assert_eq!(tally.between(now, at(0)).readings, 0);
    }

    proptest! {
        /// Each reading of the week is counted once, whenever it came: to the minute within a day, to the hour beyond.
        #[test]
        fn no_reading_is_lost_or_counted_twice(
            readings in proptest::collection::vec((0..14_000_i64, any::<bool>(), 0..30_i64), 0..200),
        ) {
            let (mut tally, mut now, mut all) = (ReadingTally::default(), 20_000_i64, Vec::new());
            for (minutes_ago, anomaly, passed) in readings {
                now += passed;
                tally.count(at(now - minutes_ago), anomaly, at(now));
                all.push((now - minutes_ago, anomaly));
            }
            for (hours, step) in [(1, 1), (24, 1), (48, 60), (168, 60)] {
                let from = start_of(now - hours * 60, step);
                let expected = all.iter().filter(|(minute, _)| *minute >= from);
                let count = ReadingCount {
                    readings: expected.clone().count() as u64,
                    anomalies: expected.filter(|(_, anomaly)| *anomaly).count() as u64,
                };
                prop_assert_eq!(tally.between(at(now - hours * 60), at(now)), count, "{} hours", hours);
            }
        }
    }
}
