//! Answers about sensors, in the words and the order of the original.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use twinhub_domain::{Number, Timestamp};
use twinhub_mqtt::dialects::cloud_backend::CloudReading;
use utoipa::ToSchema;

use super::index::{ReadingCount, SensorStats, TimedReading};

/// A reading in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CloudReadingItem<'a> {
    id: u64,
    #[serde(flatten)]
    members: ReadingMembers<'a>,
}

/// The members of a reading, wherever it is shown.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReadingMembers<'a> {
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    sensor_type: &'a str,
    sensor_id: &'a str,
    #[schema(value_type = f64)]
    value: Number,
    unit: &'a str,
    origin: &'a str,
    source_protocol: &'a str,
    anomaly: bool,
}

/// A reading as it came, with its payload as text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LiveReading<'a> {
    #[serde(flatten)]
    members: ReadingMembers<'a>,
    raw_data: &'a str,
}

/// The newest reading of each sensor, under its type.
#[derive(Serialize, ToSchema)]
pub(super) struct LatestAnswer<'a> {
    #[serde(serialize_with = "in_order")]
    #[schema(value_type = BTreeMap<String, Vec<CloudReadingItem>>)]
    pub sensors: Vec<(&'a str, Vec<CloudReadingItem<'a>>)>,
    pub total_count: usize,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_updated: Option<Timestamp>,
}

/// The readings of one sensor.
#[derive(Serialize, ToSchema)]
pub(super) struct SensorHistory<'a> {
    pub readings: Vec<CloudReadingItem<'a>>,
    pub sensor_id: &'a str,
    pub count: usize,
}

/// A stretch of time up to now.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct HoursRange {
    #[schema(value_type = String, format = DateTime)]
    pub start: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub end: Timestamp,
    pub hours: i64,
}

/// Readings that their devices call anomalies.
#[derive(Serialize, ToSchema)]
pub(super) struct AnomaliesAnswer<'a> {
    pub anomalies: Vec<CloudReadingItem<'a>>,
    pub count: usize,
    pub time_range: HoursRange,
}

/// The counts of a stretch of time.
#[derive(Serialize, ToSchema)]
pub(super) struct StatsAnswer {
    time_range: HoursRange,
    total_readings: u64,
    anomaly_count: u64,
    /// Per cent, with two digits.
    anomaly_rate: f64,
    by_sensor_type: Vec<TypeCount>,
    by_origin: Vec<OriginCount>,
    by_protocol: Vec<ProtocolCount>,
}

/// The readings of one type of sensors.
#[derive(Serialize, ToSchema)]
struct TypeCount {
    r#type: Box<str>,
    count: u64,
    anomalies: u64,
}

/// The readings of one origin.
#[derive(Serialize, ToSchema)]
struct OriginCount {
    origin: Box<str>,
    count: u64,
}

/// The readings that came by one protocol.
#[derive(Serialize, ToSchema)]
struct ProtocolCount {
    protocol: Box<str>,
    count: u64,
}

/// The last message of each topic, by the topic's name.
#[derive(Serialize, ToSchema)]
pub(super) struct LiveAnswer<'a> {
    #[schema(value_type = BTreeMap<String, LiveReading>)]
    pub live_readings: BTreeMap<&'a str, LiveReading<'a>>,
    pub count: usize,
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
}

impl<'a> ReadingMembers<'a> {
    /// The members of a reading of this moment.
    pub(super) fn of(at: Timestamp, reading: &'a CloudReading) -> Self {
        Self {
            timestamp: at,
            sensor_type: &reading.sensor_type,
            sensor_id: &reading.sensor_id,
            value: reading.value_as_float(),
            unit: &reading.unit,
            origin: &reading.origin,
            source_protocol: &reading.source_protocol,
            anomaly: reading.anomaly,
        }
    }
}

impl<'a> From<&'a TimedReading> for CloudReadingItem<'a> {
    fn from(timed: &'a TimedReading) -> Self {
        Self { id: timed.id, members: ReadingMembers::of(timed.at, &timed.reading) }
    }
}

impl<'a> LiveReading<'a> {
    /// A reading of this moment.
    pub(super) fn of(at: Timestamp, reading: &'a CloudReading) -> Self {
        Self {
            members: ReadingMembers::of(at, reading),
            raw_data: reading.raw.as_deref().unwrap_or_default(),
        }
    }
}

impl<'a> LatestAnswer<'a> {
    /// The newest readings, which come the newest first.
    pub(super) fn of(newest: &'a [Arc<TimedReading>]) -> Self {
        let mut sensors: Vec<(&str, Vec<CloudReadingItem<'_>>)> = Vec::new();
        for timed in newest {
            let (sensor_type, item) = (&*timed.reading.sensor_type, CloudReadingItem::from(&**timed));
            match sensors.iter_mut().find(|(known, _)| *known == sensor_type) {
                Some((_, items)) => items.push(item),
                None => sensors.push((sensor_type, vec![item])),
            }
        }
        let last_updated = newest.first().map(|timed| timed.at);
        Self { sensors, total_count: newest.len(), last_updated }
    }
}

impl StatsAnswer {
    /// The counts of this stretch of time.
    pub(super) fn of(time_range: HoursRange, stats: SensorStats) -> Self {
        let SensorStats { total, by_type, by_origin, by_protocol } = stats;
        Self {
            time_range,
            total_readings: total.readings,
            anomaly_count: total.anomalies,
            anomaly_rate: rate(total),
            by_sensor_type: by_type
                .into_iter()
                .map(|(r#type, of)| TypeCount { r#type, count: of.readings, anomalies: of.anomalies })
                .collect(),
            by_origin: by_origin
                .into_iter()
                .map(|(origin, of)| OriginCount { origin, count: of.readings })
                .collect(),
            by_protocol: by_protocol
                .into_iter()
                .map(|(protocol, of)| ProtocolCount { protocol, count: of.readings })
                .collect(),
        }
    }
}

/// The anomalies among readings, in per cent with two digits.
fn rate(ReadingCount { readings, anomalies }: ReadingCount) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 readings in a week")]
    let rate = if readings == 0 { 0.0 } else { anomalies as f64 / readings as f64 };
    (rate * 10_000.0).round() / 100.0
}

/// An object whose members stay in this order.
fn in_order<S: Serializer>(
    members: &[(&str, Vec<CloudReadingItem<'_>>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(members.len()))?;
    for (name, items) in members {
        map.serialize_entry(name, items)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_two_digits() {
        let check = |anomalies, readings, expected: f64| {
            let found = rate(ReadingCount { readings, anomalies });
            assert!((found - expected).abs() < 1e-9, "{anomalies} of {readings}: {found}");
        };
        check(0, 0, 0.0);
        check(1, 3, 33.33);
        check(2, 3, 66.67);
        check(5, 5, 100.0);
    }
}
