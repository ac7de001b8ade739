//! Statistics of readings, from readings one by one and from sums of many.

use std::collections::BTreeMap;

use super::{Aggregate, HistoryQuery, ReadingPosition, TimedMoments};
use crate::clock::ReadingTime;
use crate::id::DeviceNumber;
use crate::json::Number;
use crate::reading::{Quality, Reading, Scalar};

/// A question for the statistics of one device's readings.
#[derive(Clone, Debug)]
pub struct StatisticsQuery {
    pub device: DeviceNumber,
    /// From here on, inclusive.
    pub from: ReadingTime,
    /// Up to here, exclusive.
    pub to: ReadingTime,
    /// Only these; empty means all.
    pub sensors: Vec<String>,
    /// As of [`HistoryQuery`]: all readings are read then.
    pub min_quality: Option<u8>,
    /// Each number is given back with its time: all readings are read then.
    pub points: bool,
}

/// The statistics of the readings of one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesStatistics {
    /// The number of texts among the readings.
    pub texts: u64,
    /// The number of readings, texts among them, whose score says that they are uncertain, and bad.
    pub uncertain: u64,
    pub bad: u64,
    /// None where all are texts.
    pub numbers: Option<NumberStatistics>,
    /// The numbers with their times, where they were asked for, in no order.
    pub points: Vec<(ReadingTime, f64)>,
}

/// The statistics of numbers. Booleans count as 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberStatistics {
    pub min: Number,
    pub max: Number,
    /// The first and the last by their places.
    pub first: (ReadingPosition, Number),
    pub last: (ReadingPosition, Number),
    pub moments: TimedMoments,
}

/// Statistics by the names of readings.
pub type SeriesByName = BTreeMap<Box<str>, SeriesStatistics>;

/// Makes statistics of readings, in whatever order they come.
#[derive(Debug)]
pub struct StatisticsFold {
    points: bool,
    series: SeriesByName,
}

/// The intervals between readings, and where they are much longer than usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadingGaps {
    /// The median of the intervals, in ms.
    pub usual_ms: i64,
    /// The number of intervals of more than three times that.
    pub count: u64,
    /// Their length beyond the usual, in ms, together and of the longest.
    pub total_ms: i64,
    pub longest_ms: i64,
}

/// An interval of more than so many usual ones is a gap.
const GAP: i64 = 3;

impl StatisticsQuery {
    /// The readings that it is about.
    #[must_use]
    pub fn readings(&self) -> HistoryQuery {
        HistoryQuery {
            device: self.device,
            from: Some(self.from),
            to: Some(self.to),
            sensors: self.sensors.clone(),
            min_quality: self.min_quality,
            limit: usize::MAX,
            newest_first: false,
            interval: None,
            aggregate: Aggregate::default(),
        }
    }
}

impl StatisticsFold {
    /// An empty fold for this question.
    #[must_use]
    pub fn new(query: &StatisticsQuery) -> Self {
        Self { points: query.points, series: BTreeMap::new() }
    }

    /// Takes a reading in.
    pub fn add(&mut self, reading: &Reading, place: ReadingPosition) {
        let mut one = SeriesStatistics::default();
        match Quality::of_score(reading.quality_score) {
            Quality::Good => {}
            Quality::Uncertain => one.uncertain = 1,
            Quality::Bad => one.bad = 1,
        }
        match &reading.value {
            Scalar::Text(_) => one.texts = 1,
            Scalar::Bool(value) => one.take_number(Number::from(i64::from(*value)), place, self.points),
            Scalar::Number(number) => one.take_number(number.clone(), place, self.points),
        }
        self.add_summed(&reading.name, one);
    }

    /// Takes in the statistics of other readings of this name.
    pub fn add_summed(&mut self, name: &str, other: SeriesStatistics) {
        match self.series.get_mut(name) {
            Some(series) => series.merge(other),
            None => drop(self.series.insert(name.into(), other)),
        }
    }

    /// The statistics by name.
    #[must_use]
    pub fn finish(self) -> SeriesByName {
        self.series
    }
}

impl SeriesStatistics {
    /// The number of readings.
    #[must_use]
    pub fn readings(&self) -> u64 {
        self.texts.saturating_add(self.numbers.as_ref().map_or(0, |numbers| numbers.moments.count))
    }

    fn take_number(&mut self, number: Number, place: ReadingPosition, points: bool) {
        let value = number.as_f64();
        if points {
            self.points.push((place.0, value));
        }
        let edge = (place, number.clone());
        self.numbers = Some(NumberStatistics {
            min: number.clone(),
            max: number,
            first: edge.clone(),
            last: edge,
            moments: TimedMoments::of(place.0.seconds(), value),
        });
    }

    /// Takes in those of other readings.
    pub fn merge(&mut self, other: Self) {
        self.texts = self.texts.saturating_add(other.texts);
        self.uncertain = self.uncertain.saturating_add(other.uncertain);
        self.bad = self.bad.saturating_add(other.bad);
        self.points.extend(other.points);
        match (&mut self.numbers, other.numbers) {
            (_, None) => {}
            (Some(numbers), Some(other)) => numbers.merge(other),
            (none, other) => *none = other,
        }
    }

    /// The gaps between the numbers of one device, by its points; none of fewer than three different times.
    #[must_use]
    pub fn gaps(&self) -> Option<ReadingGaps> {
        let mut times: Vec<i64> = self.points.iter().map(|(at, _)| at.floor().millis()).collect();
        times.sort_unstable();
        times.dedup();
        let mut intervals: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        if intervals.len() < 2 {
            return None;
        }
        intervals.sort_unstable();
        let usual_ms = intervals[intervals.len() / 2];
        let beyond = intervals.iter().filter(|length| **length > usual_ms.saturating_mul(GAP));
        let beyond: Vec<i64> = beyond.map(|length| length - usual_ms).collect();
        Some(ReadingGaps {
            usual_ms,
            count: beyond.len() as u64,
            total_ms: beyond.iter().sum(),
            longest_ms: beyond.iter().copied().max().unwrap_or_default(),
        })
    }

    /// The numbers below which these percentages of the points lie, between two of them in proportion; none without points.
    #[must_use]
    pub fn percentiles<const N: usize>(&self, percents: [u8; N]) -> Option<[f64; N]> {
        let mut values: Vec<f64> = self.points.iter().map(|(_, value)| *value).collect();
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        Some(percents.map(|percent| {
            let place = last * usize::from(percent.min(100));
            let (below, rest) = (place / 100, place % 100);
            #[expect(clippy::cast_precision_loss, reason = "below 100")]
            let part = rest as f64 / 100.0;
            let (low, high) = (values[below], values[(below + 1).min(last)]);
            low + (high - low) * part
        }))
    }
}

impl NumberStatistics {
    fn merge(&mut self, other: Self) {
        if other.min < self.min {
            self.min = other.min;
        }
        if other.max > self.max {
            self.max = other.max;
        }
        if other.first.0 < self.first.0 {
            self.first = other.first;
        }
        if other.last.0 >= self.last.0 {
            self.last = other.last;
        }
        self.moments = self.moments.with(other.moments);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn points(values: &[(i64, f64)]) -> SeriesStatistics {
        let at = |second: i64| ReadingTime::from(Timestamp::from_millis(second * 1_000));
        let points = values.iter().map(|(second, value)| (at(*second), *value)).collect();
        SeriesStatistics { points, ..SeriesStatistics::default() }
    }

    #[test]
    fn gaps_are_much_longer_than_usual() {
        let check = |seconds: &[i64], expected: Option<(i64, u64, i64, i64)>| {
            let series = points(&seconds.iter().map(|second| (*second, 0.0)).collect::<Vec<_>>());
            let found = series.gaps().map(|gaps| (gaps.usual_ms, gaps.count, gaps.total_ms, gaps.longest_ms));
            assert_eq!(found, expected, "{seconds:?}");
        };
        check(&[], None);
        check(&[0, 10], None);
        check(&[0, 0, 10], None);
        check(&[20, 0, 10], Some((10_000, 0, 0, 0)));
        check(&[0, 10, 20, 50, 60], Some((10_000, 0, 0, 0)));
        check(&[0, 10, 20, 51, 61, 100, 110], Some((10_000, 2, 50_000, 29_000)));
    }

    #[test]
    fn percentiles_lie_between_numbers_in_proportion() {
        let all: Vec<_> = (0..).zip([50.0, 10.0, 40.0, 20.0, 30.0]).collect();
        let [low, half, high] = points(&all).percentiles([5, 50, 95]).unwrap();
        assert!((low - 12.0).abs() < 1e-12 && (half - 30.0).abs() < 1e-12 && (high - 48.0).abs() < 1e-12);
        assert_eq!(points(&[(0, 7.0)]).percentiles([0, 100]), Some([7.0, 7.0]));
        assert_eq!(points(&[]).percentiles([50]), None);
    }
}
