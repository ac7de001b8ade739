//! Readings over time: queries, answers, and buckets of readings.

mod bucket;
mod counter;
mod decimal_sum;
mod fold;
mod interval;
mod moments;
mod percentile;
mod statistics;

pub use bucket::SummedReadings;
pub(super) use bucket::mean;
pub use counter::CounterGrowth;
pub use decimal_sum::DecimalSum;
pub use fold::BucketFold;
pub use interval::{CalendarUnit, Interval};
pub use moments::{TimedMoments, Trend};
pub use statistics::{
    NumberStatistics, ReadingGaps, SeriesByName, SeriesStatistics, StatisticsFold, StatisticsQuery,
};

use serde::Serialize;

use super::clock::{ReadingTime, Timestamp};
use super::id::DeviceNumber;
use super::json::Number;
use super::reading::Scalar;

/// A question for one device's history.
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    pub device: DeviceNumber,
    /// From here on, inclusive.
    pub from: Option<ReadingTime>,
    /// Up to here, exclusive.
    pub to: Option<ReadingTime>,
    /// Only these; empty means all.
    pub sensors: Vec<String>,
    /// Only readings whose score is at least this; one without a score has nothing against it.
    pub min_quality: Option<u8>,
    /// Readings or buckets at most.
    pub limit: usize,
    pub newest_first: bool,
    /// The stretches that make a bucket each, and the aggregate of each; none: readings as they are.
    pub interval: Option<Interval>,
    pub aggregate: Aggregate,
}

/// The aggregate of a bucket's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    #[default]
    Avg,
    Min,
    Max,
    Sum,
    Count,
    First,
    Last,
    /// 5th percentile.
    P5,
    /// Median.
    P50,
    /// 95th percentile.
    P95,
    /// The standard deviation, of all there are.
    Stddev,
    /// The growth of a counter, over resets.
    Increase,
    /// The same in a second.
    Rate,
}

/// A reading as it was stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredReading {
    pub sensor_type: String,
    pub value: Scalar,
    pub unit: Option<String>,
    pub quality_score: Option<u8>,
    pub timestamp: ReadingTime,
    /// The device's own time, where it is not believed: `timestamp` is then the time of arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<ReadingTime>,
    /// The place of its event; 0 where it is not to be told.
    #[serde(skip_serializing_if = "is_untold")]
    pub seq: u64,
}

impl StoredReading {
    /// Its time and its number, a boolean as 0 or 1; none where it is a text.
    #[must_use]
    pub fn number(&self) -> Option<(ReadingTime, Number)> {
        let number = match &self.value {
            Scalar::Number(number) => number.clone(),
            Scalar::Bool(value) => Number::from(i64::from(*value)),
            Scalar::Text(_) => return None,
        };
        Some((self.timestamp, number))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_untold(seq: &u64) -> bool {
    *seq == 0
}

/// One sensor's numbers within one interval. Booleans count as 0 and 1, texts not at all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bucket {
    pub sensor_type: String,
    /// The start of the interval.
    pub timestamp: Timestamp,
    /// Its end, where not all are of the same length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    pub value: Number,
    pub count: u64,
    pub min: Number,
    pub max: Number,
}

impl Aggregate {
    /// The names of all.
    pub const NAMES: &str = "avg, min, max, sum, count, first, last, p5, p50, p95, stddev, increase or rate";

    /// Is it made of single readings, so that no sums of several do?
    #[must_use]
    pub fn needs_readings(self) -> bool {
        matches!(self, Self::P5 | Self::P50 | Self::P95 | Self::Stddev) || self.is_of_counter()
    }

    /// Does it go by the steps from reading to reading?
    #[must_use]
    pub fn is_of_counter(self) -> bool {
        matches!(self, Self::Increase | Self::Rate)
    }

    /// The aggregate with this name: one of [`Self::NAMES`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "avg" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "sum" => Self::Sum,
            "count" => Self::Count,
            "first" => Self::First,
            "last" => Self::Last,
            "p5" => Self::P5,
            "p50" => Self::P50,
            "p95" => Self::P95,
            "stddev" => Self::Stddev,
            "increase" => Self::Increase,
            "rate" => Self::Rate,
            _ => return None,
        })
    }
}

/// The place of a reading among all of its device: its time, its message's `seq`, its place in the message.
pub type ReadingPosition = (ReadingTime, u64, usize);
