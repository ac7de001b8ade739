use proptest::prelude::*;
use twinhub_domain::twin::Translation as _;
use twinhub_domain::{Cause, DeviceId, EventBody, Input, Number};
use twinhub_mqtt::dialects::iamis::TypedReading;

use super::*;

/// A twin with the history of what it heard.
struct HeardSensors {
    twin: Twin,
    /// In the order in which they came.
    stored: Vec<StoredReading>,
    /// As each was told when it came.
    told: Vec<(String, SensorDatum)>,
    /// Stored readings that queries have read.
    read: usize,
    kept_from: Option<Timestamp>,
}

impl HeardSensors {
    fn new() -> Self {
        let twin = Twin::new(DeviceId::parse("sensor-data").unwrap(), DeviceNumber(1), Timestamp::default());
        Self { twin, stored: Vec::new(), told: Vec::new(), read: 0, kept_from: None }
    }

    fn hear(&mut self, sensor_type: &str, at: i64) {
        let value = i64::try_from(self.told.len()).unwrap();
        let reading = TypedReading::new(sensor_type.into(), Number::from(value), "x".into()).unwrap();
        let timestamp = Timestamp::from_millis(at);
        let input = Input::Translate(std::sync::Arc::new(reading));
        let outcome = self.twin.apply(input, timestamp, &Cause::hub()).unwrap();
        let seq = self.told.len() as u64;
        for event in outcome.events {
            let EventBody::Telemetry { readings, .. } = event.body else { continue };
            self.stored.extend(readings.into_iter().map(|reading| StoredReading {
                sensor_type: reading.name.into(),
                value: reading.value,
                unit: reading.unit.map(Into::into),
                quality_score: None,
                timestamp: timestamp.into(),
                claimed_at: None,
                seq,
            }));
        }
        let id = value + 1;
        let value = Scalar::Number(Number::from(value));
        let datum = SensorDatum { id, sensor_type: sensor_type.into(), value, unit: "x".into(), timestamp };
        self.told.push((sensor_type.to_owned(), datum));
    }

    /// As the store answers.
    fn ask(&mut self, query: &HistoryQuery) -> Vec<StoredReading> {
        let is_in = |reading: &&StoredReading| {
            query.from.is_none_or(|from| reading.timestamp >= from)
                && query.to.is_none_or(|to| reading.timestamp < to)
        };
        self.read += self.stored.iter().filter(is_in).count();
        let is_wanted = |reading: &&StoredReading| query.sensors.contains(&reading.sensor_type);
        let found: Vec<_> = self.stored.iter().filter(is_in).filter(is_wanted).cloned().collect();
        let mut messages: Vec<_> = found.chunk_by(|one, other| one.seq == other.seq).collect();
        messages.sort_by_key(|message| (message[0].timestamp, message[0].seq));
        messages.into_iter().rev().flatten().take(query.limit).cloned().collect()
    }

    fn walk(&mut self, sensor_type: &str, wanted: usize) -> Vec<SensorDatum> {
        let mut all = Vec::new();
        let Some(mut walk) = HistoryWalk::new(&self.twin, sensor_type) else { return all };
        while all.len() < wanted
            && let Some(query) = walk.query(wanted - all.len())
        {
            let found = self.ask(&query);
            all.extend(walk.take(&found, self.kept_from));
        }
        all.truncate(wanted);
        all
    }

    fn newest_first(&self, sensor_type: &str) -> Vec<SensorDatum> {
        let of_type = self.told.iter().rev().filter(|(name, _)| name == sensor_type);
        of_type.map(|(_, datum)| datum.clone()).collect()
    }
}

#[test]
fn a_rare_sensor_costs_no_search_through_the_others() {
    let mut heard = HeardSensors::new();
    for second in 0..20_000 {
        heard.hear("temperature", second * 1_000);
        if second % 4_000 == 7 {
            heard.hear("rare", second * 1_000 + 500);
        }
    }
    assert_eq!(heard.walk("rare", 100), heard.newest_first("rare"));
    assert!(heard.read < 100, "{} readings were read for five", heard.read);
    heard.read = 0;
    assert_eq!(heard.walk("temperature", 100), heard.newest_first("temperature")[..100]);
    assert!(heard.read < 1_000, "{} readings were read for a hundred", heard.read);
    assert_eq!(heard.walk("humidity", 100), []);
}

#[test]
fn readings_that_do_not_say_how_long_ago_the_one_before_was_are_found_too() {
    let mut heard = HeardSensors::new();
    for second in 0..100 {
        heard.hear(if second % 3 == 0 { "rare" } else { "temperature" }, second * 1_000);
    }
    heard.stored.retain(|reading| !reading.sensor_type.ends_with("#gap"));
    assert_eq!(heard.walk("rare", 100), heard.newest_first("rare"));
    // Those of other doors have no number, and are none of this dialect's.
    heard.stored.retain(|reading| reading.seq % 2 == 0 || !reading.sensor_type.ends_with("#id"));
    let numbered: Vec<_> = heard.newest_first("rare").into_iter().filter(|datum| datum.id % 2 == 1).collect();
    assert_eq!(heard.walk("rare", 100), numbered);
}

#[test]
fn the_walk_ends_where_readings_are_no_longer_kept() {
    let mut heard = HeardSensors::new();
    for second in 0..100 {
        heard.hear("temperature", second * 1_000);
    }
    let from = Timestamp::from_millis(90_000);
    heard.stored.retain(|reading| reading.timestamp >= from.into());
    heard.kept_from = Some(from);
    assert_eq!(heard.walk("temperature", 50), heard.newest_first("temperature")[..10]);
    assert!(heard.read < 50, "{} readings were read for ten", heard.read);
    heard.stored.clear();
    assert_eq!(heard.walk("temperature", 50), []);
}

#[test]
fn readings_are_found_though_the_clock_was_set_back() {
    let mut heard = HeardSensors::new();
    for second in 0..100 {
        heard.hear("rare", 9_000_000 + second * 1_000);
    }
    heard.hear("temperature", 1_000); // and no time of the twin is a later one now
    assert_eq!(heard.walk("rare", 50), heard.newest_first("rare")[..50]);
    heard.hear("rare", 2_000);
    assert_eq!(heard.walk("rare", 200), heard.newest_first("rare"));
}

#[test]
fn what_is_said_of_a_reading_is_what_is_stored() {
    let reading = TypedReading::new("t".into(), Number::from(1), "x".into()).unwrap();
    assert_eq!((reading.sensor_type(), reading.serial()), ("t", None));
}

proptest! {
    /// Each reading comes once, the last to come first, whatever the clock does.
    #[test]
    fn every_reading_is_given_once(
        steps in prop::collection::vec((0_usize..3, prop_oneof![Just(0), 1..50_i64, Just(100_000), -500..0_i64]), 0..120),
        wanted in 1_usize..150,
    ) {
        let mut heard = HeardSensors::new();
        let (mut second, mut set_back) = (1_000_000, 0);
        for (sensor, step) in steps {
            second += step;
            set_back += i64::from(step < 0);
            // No clock comes to the very ms again at which there was a reading before it was set back.
            heard.hear(["a", "b", "c"][sensor], second * 1_000 + set_back);
        }
        for sensor in ["a", "b", "c"] {
            let mut expected = heard.newest_first(sensor);
            expected.truncate(wanted);
            prop_assert_eq!(heard.walk(sensor, wanted), expected);
        }
    }
}
