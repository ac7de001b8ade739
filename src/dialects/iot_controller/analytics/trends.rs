//! Readings hour by hour, by sensor type, over the devices that were heard last.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use twinhub_actors::messages::archive::BucketHistory;
use twinhub_domain::series::{Aggregate, Bucket, HistoryQuery, Interval};
use twinhub_domain::{DeviceNumber, Timestamp};

use super::share_of;
use crate::http::Access;
use crate::http::problem::ApiError;

/// The hours that are asked for at most: a week.
pub(super) const MOST_HOURS: i64 = 168;
const HOUR_MS: i64 = 3_600_000;
/// The devices whose histories are read at most, and the time after which no more of them are: a history may have a million
/// readings.
const MOST_DEVICES: usize = 50;
const PATIENCE: Duration = Duration::from_secs(5);
/// Buckets of one device at most: a week of a hundred sensor types.
const MOST_BUCKETS: usize = 16_900;

/// The readings of some hours.
#[derive(Debug, Serialize)]
pub(super) struct Trends {
    from: Timestamp,
    to: Timestamp,
    interval: &'static str,
    /// The devices whose readings are in it: those heard last.
    devices: usize,
    /// By sensor type, in the order of their names.
    sensors: Vec<SensorTrend>,
}

/// The readings of one sensor type.
#[derive(Debug, Serialize)]
struct SensorTrend {
    sensor_type: String,
    readings: u64,
    /// The last average less the first; null where all readings are of one hour.
    change: Option<f64>,
    points: Vec<TrendPoint>,
}

/// The readings of an hour.
#[derive(Debug, Serialize)]
struct TrendPoint {
    /// The start of the hour.
    timestamp: Timestamp,
    readings: u64,
    average: f64,
    minimum: f64,
    maximum: f64,
}

/// The readings of an hour, still growing.
#[derive(Debug)]
struct HourSums {
    readings: u64,
    sum: f64,
    minimum: f64,
    maximum: f64,
}

/// By sensor type and the start of the hour.
type HoursBySensor = BTreeMap<String, BTreeMap<Timestamp, HourSums>>;

impl Trends {
    /// The last hours of the devices that were heard last, of sensor types that `is_sensor` knows.
    ///
    /// # Errors
    /// The caller may not read them, or the store does not answer.
    pub(super) async fn of(
        access: &Access,
        mut heard: Vec<(Timestamp, DeviceNumber)>,
        is_sensor: impl Fn(&str) -> bool,
        hours: i64,
    ) -> Result<Self, ApiError> {
        let to = access.now();
        let from = Timestamp::from_millis((to.millis() - hours * HOUR_MS).div_euclid(HOUR_MS) * HOUR_MS);
        heard.sort_unstable_by_key(|(at, device)| (Reverse(*at), *device));
        heard.truncate(MOST_DEVICES);
        let (mut all, mut devices, begun) = (HoursBySensor::new(), 0, Instant::now());
        for (_, device) in heard.into_iter().take_while(|(at, _)| *at >= from) {
            if begun.elapsed() > PATIENCE {
                break;
            }
            let query = HistoryQuery {
                device,
                from: Some(from.into()),
                to: Some(to.plus_millis(1).into()),
                sensors: Vec::new(),
                min_quality: None,
                limit: MOST_BUCKETS,
                newest_first: true,
                interval: Some(Interval::Fixed(HOUR_MS)),
                aggregate: Aggregate::Avg,
            };
            let buckets = access.ask(BucketHistory(query)).await??;
            buckets.iter().filter(|bucket| is_sensor(&bucket.sensor_type)).for_each(|one| add(&mut all, one));
            devices += 1;
        }
        let sensors =
            all.into_iter().map(|(sensor_type, hours)| SensorTrend::of(sensor_type, hours)).collect();
        Ok(Self { from, to, interval: "1h", devices, sensors })
    }
}

fn add(all: &mut HoursBySensor, bucket: &Bucket) {
    let (minimum, maximum) = (bucket.min.as_f64(), bucket.max.as_f64());
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 readings in an hour")]
    let sum = bucket.value.as_f64() * bucket.count as f64;
    let hours = all.entry(bucket.sensor_type.clone()).or_default();
    hours
        .entry(bucket.timestamp)
        .and_modify(|hour| {
            hour.readings += bucket.count;
            hour.sum += sum;
            hour.minimum = hour.minimum.min(minimum);
            hour.maximum = hour.maximum.max(maximum);
        })
        .or_insert(HourSums { readings: bucket.count, sum, minimum, maximum });
}

impl SensorTrend {
    fn of(sensor_type: String, hours: BTreeMap<Timestamp, HourSums>) -> Self {
        let point = |(timestamp, HourSums { readings, sum, minimum, maximum })| TrendPoint {
            timestamp,
            readings,
            average: share_of(sum, readings).unwrap_or_default(),
            minimum,
            maximum,
        };
        let points: Vec<TrendPoint> = hours.into_iter().map(point).collect();
        let change = match &points[..] {
            [first, .., last] => Some(last.average - first.average),
            _ => None,
        };
        Self { sensor_type, readings: points.iter().map(|point| point.readings).sum(), change, points }
    }
}

#[cfg(test)]
mod tests {
    use twinhub_domain::json::Number;

    use super::*;

    #[test]
    fn buckets_of_several_devices_are_one_hour() {
        let bucket = |hour: i64, value: &str, count, min: &str, max: &str| Bucket {
            sensor_type: "t".into(),
            end: None,
            timestamp: Timestamp::from_millis(hour * HOUR_MS),
            value: Number::parse(value).unwrap(),
            count,
            min: Number::parse(min).unwrap(),
            max: Number::parse(max).unwrap(),
        };
        let mut all = HoursBySensor::new();
        for one in
            [bucket(2, "10", 3, "8", "12"), bucket(2, "20", 1, "20", "20"), bucket(1, "7.5", 2, "7", "8")]
        {
            add(&mut all, &one);
        }
        let hours = all.remove("t").unwrap();
        let SensorTrend { readings, change, points, .. } = SensorTrend::of("t".into(), hours);
        let shown: Vec<_> = points
            .iter()
            .map(|point| (point.readings, point.average, point.minimum, point.maximum))
            .collect();
        assert_eq!(shown, [(2, 7.5, 7.0, 8.0), (4, 12.5, 8.0, 20.0)]);
        assert_eq!((readings, change), (6, Some(5.0)));
    }
}
