//! Readings over time: what is asked, and what is answered.

use serde::Serialize;

use super::clock::Timestamp;
use super::id::DeviceNumber;
use super::json::Number;
use super::reading::Scalar;

/// A question for one device's history.
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    pub device: DeviceNumber,
    /// From here on, inclusive.
    pub from: Option<Timestamp>,
    /// Up to here, exclusive.
    pub to: Option<Timestamp>,
    /// Only these; empty means all.
    pub sensors: Vec<String>,
    /// Readings or buckets at most.
    pub limit: usize,
    pub newest_first: bool,
    /// Length of a bucket in ms, and what is made of each. Unused by raw history.
    pub interval_ms: i64,
    pub aggregate: Aggregate,
}

/// What is made of a bucket's numbers.
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
    /// Median.
    P50,
    /// 95th percentile.
    P95,
}

/// A reading as it was stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredReading {
    pub sensor_type: String,
    pub value: Scalar,
    pub unit: Option<String>,
    pub quality_score: Option<u8>,
    pub timestamp: Timestamp,
    pub seq: u64,
}

/// One sensor's numbers within one clock-aligned interval. Booleans count as 0 and 1, texts not at all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bucket {
    pub sensor_type: String,
    /// The start of the interval.
    pub timestamp: Timestamp,
    pub value: Number,
    pub count: u64,
    pub min: Number,
    pub max: Number,
}

impl Aggregate {
    /// The aggregate with this name: `avg`, `min`, `max`, `sum`, `count`, `first`, `last`, `p50`, `p95`.
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
            "p50" => Self::P50,
            "p95" => Self::P95,
            _ => return None,
        })
    }
}
