//! The sensors that the hub knows, with their newest readings, the last message of each topic, and the counts and
//! anomalies of a week. Made of the events in order and of what the store has from before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use twinhub_domain::{DeviceId, Timestamp};
use twinhub_mqtt::dialects::cloud_backend::CloudReading;

use super::tally::{ReadingCount, ReadingTally, WEEK_MS};

/// The anomalies of a sensor that are kept: as many as an answer has at most.
const MOST_ANOMALIES: usize = 500;
/// The topics of a sensor whose last messages are kept: payloads may name another sensor than their topic.
const MOST_TOPICS: usize = 100;
/// The origins and protocols of a sensor that are counted by themselves.
const MOST_SOURCES: usize = 50;
/// The name of those beyond.
const OTHER: &str = "other";

/// A reading with its time and number.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedReading {
    /// The place of its message in the hub's sequence.
    pub id: u64,
    pub at: Timestamp,
    pub reading: CloudReading,
}

/// Everything known of the sensors.
#[derive(Debug, Default)]
pub(super) struct SensorBook {
    devices: HashMap<DeviceId, BTreeMap<Box<str>, SensorEntry>>,
}

/// A sensor: one type of one device.
#[derive(Debug, Default)]
struct SensorEntry {
    newest: Option<Arc<TimedReading>>,
    live: BTreeMap<String, Arc<TimedReading>>,
    tallies: HashMap<SourceName, ReadingTally>,
    anomalies: BTreeMap<(Timestamp, u64), Arc<TimedReading>>,
}

/// The source of readings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SourceName {
    pub origin: Box<str>,
    pub protocol: Box<str>,
}

/// The devices that a caller reaches; none: all.
pub(super) type ReachedDevices<'a> = Option<&'a HashSet<DeviceId>>;

/// The counts of a stretch of time, by the names of what they are of.
#[derive(Debug, Default, PartialEq)]
pub struct SensorStats {
    pub total: ReadingCount,
    pub by_type: BTreeMap<Box<str>, ReadingCount>,
    pub by_origin: BTreeMap<Box<str>, ReadingCount>,
    pub by_protocol: BTreeMap<Box<str>, ReadingCount>,
}

impl SensorBook {
    /// Takes in a reading as it comes.
    pub(super) fn hear(&mut self, device: &DeviceId, heard: TimedReading, now: Timestamp) {
        let source = SourceName::of(&heard.reading);
        let (at, anomaly) = (heard.at, heard.reading.anomaly);
        if anomaly {
            self.note_anomaly(device, heard.clone(), now);
        }
        let heard = Arc::new(heard);
        let entry = self.entry(device, &heard.reading.sensor_type);
        entry.count(source, at, anomaly, now);
        entry.keep_live(&heard);
        entry.keep_newest(heard);
    }

    /// Takes in the newest reading of a sensor, which came before.
    pub(super) fn recall(&mut self, device: &DeviceId, newest: TimedReading) {
        let newest = Arc::new(newest);
        let entry = self.entry(device, &newest.reading.sensor_type);
        entry.keep_live(&newest);
        entry.keep_newest(newest);
    }

    /// Counts a reading that came before.
    pub(super) fn count(
        &mut self,
        device: &DeviceId,
        sensor_type: &str,
        source: SourceName,
        at: Timestamp,
        anomaly: bool,
        now: Timestamp,
    ) {
        self.entry(device, sensor_type).count(source, at, anomaly, now);
    }

    /// Keeps an anomaly, as long as it is one of the last of its sensor and of this week.
    pub(super) fn note_anomaly(&mut self, device: &DeviceId, mut found: TimedReading, now: Timestamp) {
        found.reading.raw = None; // no list of them shows it
        let anomalies = &mut self.entry(device, &found.reading.sensor_type).anomalies;
        anomalies.insert((found.at, found.id), Arc::new(found));
        let oldest = (now.plus_millis(-WEEK_MS), 0);
        while anomalies.first_key_value().is_some_and(|(key, _)| *key < oldest)
            || anomalies.len() > MOST_ANOMALIES
        {
            anomalies.pop_first();
        }
    }

    /// The device is gone with all it had.
    pub(super) fn forget(&mut self, device: &DeviceId) {
        self.devices.remove(device);
    }

    /// The devices.
    pub(super) fn devices(&self) -> Vec<DeviceId> {
        self.devices.keys().cloned().collect()
    }

    /// The newest reading of each sensor, the newest of all first.
    pub(super) fn newest(&self, reached: ReachedDevices<'_>) -> Vec<Arc<TimedReading>> {
        let mut newest: Vec<_> =
            self.sensors(reached).filter_map(|(_, sensor)| sensor.newest.clone()).collect();
        newest.sort_unstable_by_key(|reading| std::cmp::Reverse((reading.at, reading.id)));
        newest
    }

    /// The last message of each topic, by the topic's name.
    pub(super) fn live(&self, reached: ReachedDevices<'_>) -> BTreeMap<String, Arc<TimedReading>> {
        let mut live: BTreeMap<String, Arc<TimedReading>> = BTreeMap::new();
        for (key, reading) in self.sensors(reached).flat_map(|(_, sensor)| &sensor.live) {
            // Two sensors may have been told of on one topic.
            if live.get(key).is_none_or(|other| other.id < reading.id) {
                live.insert(key.clone(), Arc::clone(reading));
            }
        }
        live
    }

    /// The anomalies of a stretch of time, the newest first.
    pub(super) fn anomalies(
        &self,
        reached: ReachedDevices<'_>,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Vec<Arc<TimedReading>> {
        if from > to {
            return Vec::new();
        }
        let mut found: Vec<_> = self
            .sensors(reached)
            .flat_map(|(_, sensor)| sensor.anomalies.range((from, 0)..=(to, u64::MAX)).rev().take(limit))
            .map(|(_, reading)| Arc::clone(reading))
            .collect();
        found.sort_unstable_by_key(|reading| std::cmp::Reverse((reading.at, reading.id)));
        found.truncate(limit);
        found
    }

    /// The counts of a stretch of time.
    pub(super) fn stats(&self, reached: ReachedDevices<'_>, from: Timestamp, to: Timestamp) -> SensorStats {
        let mut stats = SensorStats::default();
        for (sensor_type, sensor) in self.sensors(reached) {
            for (source, tally) in &sensor.tallies {
                let count = tally.between(from, to);
                if count.readings == 0 {
                    continue;
                }
                stats.total.add(count);
                stats.by_type.entry(sensor_type.clone()).or_default().add(count);
                stats.by_origin.entry(source.origin.clone()).or_default().add(count);
                stats.by_protocol.entry(source.protocol.clone()).or_default().add(count);
            }
        }
        stats
    }

    fn sensors<'a>(
        &'a self,
        reached: ReachedDevices<'a>,
    ) -> impl Iterator<Item = (&'a Box<str>, &'a SensorEntry)> {
        let is_reached = move |device: &DeviceId| reached.is_none_or(|these| these.contains(device));
        self.devices.iter().filter(move |(device, _)| is_reached(device)).flat_map(|(_, sensors)| sensors)
    }

    fn entry(&mut self, device: &DeviceId, sensor_type: &str) -> &mut SensorEntry {
        let sensors = self.devices.entry(device.clone()).or_default();
        sensors.entry(sensor_type.into()).or_default()
    }
}

impl SensorEntry {
    fn count(&mut self, source: SourceName, at: Timestamp, anomaly: bool, now: Timestamp) {
        let is_one_more = self.tallies.len() >= MOST_SOURCES && !self.tallies.contains_key(&source);
        let source = if is_one_more { SourceName::other() } else { source };
        self.tallies.entry(source).or_default().count(at, anomaly, now);
    }

    /// One that comes late is no newer.
    fn keep_newest(&mut self, reading: Arc<TimedReading>) {
        let place = |reading: &TimedReading| (reading.at, reading.id);
        if self.newest.as_deref().is_none_or(|newest| place(newest) <= place(&reading)) {
            self.newest = Some(reading);
        }
    }

    /// The last to come counts, whatever its time.
    fn keep_live(&mut self, reading: &Arc<TimedReading>) {
        let key = reading.reading.topic_key();
        if self.live.get(&key).is_some_and(|last| last.id > reading.id) {
            return;
        }
        self.live.insert(key, Arc::clone(reading));
        if self.live.len() > MOST_TOPICS {
            let oldest = self.live.iter().min_by_key(|(_, last)| last.id).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.live.remove(&key));
        }
    }
}

impl SourceName {
    /// The source of a reading.
    pub(super) fn of(reading: &CloudReading) -> Self {
        Self { origin: reading.origin.clone(), protocol: reading.source_protocol.clone() }
    }

    fn other() -> Self {
        Self { origin: OTHER.into(), protocol: OTHER.into() }
    }
}

#[cfg(test)]
mod tests {
    use twinhub_domain::Number;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    fn reading(id: u64, second: i64, sensor_type: &str, anomaly: bool) -> TimedReading {
        let json = format!("[{id}]");
        let reading = CloudReading {
            sensor_type: sensor_type.into(),
            sensor_id: "s".into(),
            value: Number::whole(id.into()),
            unit: "".into(),
            origin: if anomaly { "cloud" } else { "edge" }.into(),
            source_protocol: "mqtt".into(),
            anomaly,
            raw: Some(json.into()),
            topic: None,
        };
        TimedReading { id, at: at(second), reading }
    }

    fn device(id: &str) -> DeviceId {
        DeviceId::parse(id).unwrap()
    }

    fn ids(readings: &[Arc<TimedReading>]) -> Vec<u64> {
        readings.iter().map(|reading| reading.id).collect()
    }

    fn book() -> SensorBook {
        let (mut book, now) = (SensorBook::default(), at(1_000));
        book.hear(&device("s"), reading(1, 900, "temperature", false), now);
        book.hear(&device("s"), reading(2, 800, "temperature", true), now);
        book.hear(&device("s"), reading(3, 950, "humidity", false), now);
        book.hear(&device("t"), reading(4, 700, "temperature", true), now);
        book
    }

    #[test]
    fn one_that_comes_late_is_history_and_live_and_not_the_newest() {
        let book = book();
        assert_eq!(ids(&book.newest(None)), [3, 1, 4]);
        let live = book.live(None);
        let live: Vec<_> = live.iter().map(|(key, last)| (&**key, last.id)).collect();
        assert_eq!(live, [("humidity_s", 3), ("temperature_s", 4)]);
    }

    #[test]
    fn a_caller_sees_the_sensors_in_reach() {
        let (mut book, reached) = (book(), HashSet::from([device("t")]));
        assert_eq!(ids(&book.newest(Some(&reached))), [4]);
        assert_eq!(book.stats(Some(&reached), at(0), at(1_000)).total.readings, 1);
        assert_eq!(ids(&book.anomalies(None, at(0), at(1_000), 9)), [2, 4]);
        assert_eq!(ids(&book.anomalies(None, at(0), at(1_000), 1)), [2]);
        assert_eq!(ids(&book.anomalies(None, at(0), at(750), 9)), [4]);
        assert!(book.anomalies(None, at(9), at(0), 9).is_empty());
        book.forget(&device("t"));
        assert_eq!(ids(&book.newest(None)), [3, 1]);
    }

    #[test]
    fn counts_are_by_type_origin_and_protocol() {
        let stats = book().stats(None, at(0), at(1_000));
        let count = |readings, anomalies| ReadingCount { readings, anomalies };
        assert_eq!(stats.total, count(4, 2));
        assert_eq!(
            stats.by_type,
            [("humidity".into(), count(1, 0)), ("temperature".into(), count(3, 2))].into()
        );
        assert_eq!(stats.by_origin, [("cloud".into(), count(2, 2)), ("edge".into(), count(2, 0))].into());
        assert_eq!(stats.by_protocol, [("mqtt".into(), count(4, 2))].into());
    }

    #[test]
    fn what_senders_make_up_has_its_bounds() {
        let (mut book, now) = (SensorBook::default(), at(10_000));
        for id in 0..2_000_u32 {
            let mut made_up = reading(id.into(), i64::from(id), "t", true);
            made_up.reading.origin = format!("o{id}").into();
            made_up.reading.sensor_id = format!("s{id}").into();
            book.hear(&device("s"), made_up, now);
        }
        let stats = book.stats(None, at(0), now);
        assert_eq!((stats.total.readings, stats.by_origin.len()), (2_000, MOST_SOURCES + 1));
        assert_eq!(book.live(None).len(), MOST_TOPICS);
        let anomalies = book.anomalies(None, at(0), now, 10_000);
        assert_eq!((anomalies.len(), anomalies[0].id), (MOST_ANOMALIES, 1_999));
        assert_eq!(anomalies[0].reading.raw, None);
    }
}
