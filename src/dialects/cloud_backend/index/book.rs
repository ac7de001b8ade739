//! The sensors that the hub knows, with their newest readings, the last message of each topic, and the counts and
//! anomalies of a week. Made of the events in order and of what the store has from before.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use twinhub_domain::{DeviceId, Timestamp};
use twinhub_mqtt::dialects::cloud_backend::CloudReading;

use super::tally::{ReadingCount, ReadingTally, WEEK_MS};

/// The anomalies of a device that are kept: as many as an answer has at most.
const MOST_ANOMALIES: usize = 500;
/// The anomalies of all devices that are kept.
const MOST_ANOMALIES_OF_ALL: usize = 100_000;
/// The topics of a device whose last messages are kept: payloads may name another sensor than their topic.
const MOST_TOPICS: usize = 100;
/// Bytes of all payloads that are kept: the oldest messages are without theirs beyond.
const MOST_PAYLOAD_BYTES: usize = 64 << 20;
/// The types of a device that are kept, those heard last: more than a twin has room for.
const MOST_TYPES: usize = 250;
/// The origins and protocols that are counted by themselves, beside the first of each type, for all types of a device.
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
    devices: HashMap<DeviceId, DeviceEntry>,
    /// The anomalies of all devices, the oldest first.
    anomalies: BTreeSet<(Timestamp, u64, DeviceId)>,
    payloads: KeptPayloads,
}

/// A device that is one sensor, or several of different types.
#[derive(Debug, Default)]
struct DeviceEntry {
    sensors: BTreeMap<Box<str>, SensorEntry>,
    /// The last message of each topic.
    live: BTreeMap<String, Arc<TimedReading>>,
    anomalies: BTreeMap<(Timestamp, u64), Arc<TimedReading>>,
}

/// The messages whose payloads are kept, and how many bytes these have together.
#[derive(Debug, Default)]
struct KeptPayloads {
    bytes: usize,
    /// The oldest first, by the topic.
    messages: BTreeSet<(u64, DeviceId, String)>,
}

/// A sensor: one type of one device.
#[derive(Debug, Default)]
struct SensorEntry {
    /// Without its payload.
    newest: Option<Arc<TimedReading>>,
    tallies: HashMap<SourceName, ReadingTally>,
    /// The number of the last message.
    heard: u64,
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
        let bare = heard.without_payload();
        let (at, anomaly) = (bare.at, bare.reading.anomaly);
        self.keep(device, heard, Arc::clone(&bare));
        self.count(device, &bare.reading.sensor_type, SourceName::of(&bare.reading), (at, anomaly), now);
        if anomaly {
            self.keep_anomaly(device, bare, now);
        }
    }

    /// Takes in the newest reading of a sensor, which came before.
    pub(super) fn recall(&mut self, device: &DeviceId, newest: TimedReading) {
        let bare = newest.without_payload();
        self.keep(device, newest, bare);
    }

    /// Counts a reading that came before.
    pub(super) fn count(
        &mut self,
        device: &DeviceId,
        sensor_type: &str,
        source: SourceName,
        (at, anomaly): (Timestamp, bool),
        now: Timestamp,
    ) {
        if let Some(entry) = self.devices.get_mut(device) {
            entry.count(sensor_type, source, (at, anomaly), now);
        }
    }

    /// Keeps an anomaly, as long as it is one of the last of its device and of this week.
    pub(super) fn note_anomaly(&mut self, device: &DeviceId, found: &TimedReading, now: Timestamp) {
        self.keep_anomaly(device, found.without_payload(), now);
    }

    fn keep_anomaly(&mut self, device: &DeviceId, found: Arc<TimedReading>, now: Timestamp) {
        let Some(entry) = self.devices.get_mut(device) else { return };
        self.anomalies.insert((found.at, found.id, device.clone()));
        entry.anomalies.insert((found.at, found.id), found);
        let oldest = (now.plus_millis(-WEEK_MS), 0);
        while entry.anomalies.len() > MOST_ANOMALIES
            || entry.anomalies.first_key_value().is_some_and(|(key, _)| *key < oldest)
        {
            let Some(((at, id), _)) = entry.anomalies.pop_first() else { break };
            self.anomalies.remove(&(at, id, device.clone()));
        }
        while self.anomalies.len() > MOST_ANOMALIES_OF_ALL {
            let Some((at, id, device)) = self.anomalies.pop_first() else { break };
            if let Some(entry) = self.devices.get_mut(&device) {
                entry.anomalies.remove(&(at, id));
            }
        }
    }

    /// Keeps a reading as the newest of its sensor, and as the last message of its topic, where it is that.
    fn keep(&mut self, device: &DeviceId, heard: TimedReading, bare: Arc<TimedReading>) {
        let entry = self.devices.entry(device.clone()).or_default();
        entry.sensor(&bare.reading.sensor_type, bare.id).keep_newest(bare);
        // The last to come counts, whatever its time.
        let topic = heard.reading.topic_key();
        if entry.live.get(&topic).is_some_and(|last| last.id > heard.id) {
            return;
        }
        let heard = Arc::new(heard);
        if let Some(before) = entry.live.insert(topic.clone(), Arc::clone(&heard)) {
            self.payloads.let_go(device, &topic, &before);
        }
        self.payloads.bind(device, topic, &heard);
        if entry.live.len() > MOST_TOPICS {
            let oldest = entry.live.iter().min_by_key(|(_, last)| last.id).map(|(topic, _)| topic.clone());
            if let Some((topic, last)) = oldest.and_then(|topic| entry.live.remove_entry(&topic)) {
                self.payloads.let_go(device, &topic, &last);
            }
        }
        while let Some((device, topic)) = self.payloads.too_many() {
            if let Some(last) = self.devices.get_mut(&device).and_then(|entry| entry.live.get_mut(&topic)) {
                self.payloads.bytes -= last.payload_bytes();
                *last = last.without_payload();
            }
        }
    }

    /// The device is gone with all it had.
    pub(super) fn forget(&mut self, device: &DeviceId) {
        let Some(entry) = self.devices.remove(device) else { return };
        for (topic, last) in &entry.live {
            self.payloads.let_go(device, topic, last);
        }
        for (at, id) in entry.anomalies.into_keys() {
            self.anomalies.remove(&(at, id, device.clone()));
        }
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
        for (key, reading) in self.reached(reached).flat_map(|entry| &entry.live) {
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
            .reached(reached)
            .flat_map(|entry| entry.anomalies.range((from, 0)..=(to, u64::MAX)).rev().take(limit))
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
        self.reached(reached).flat_map(|entry| &entry.sensors)
    }

    fn reached<'a>(&'a self, reached: ReachedDevices<'a>) -> impl Iterator<Item = &'a DeviceEntry> {
        let is_reached = move |device: &DeviceId| reached.is_none_or(|these| these.contains(device));
        self.devices.iter().filter(move |(device, _)| is_reached(device)).map(|(_, entry)| entry)
    }
}

impl DeviceEntry {
    /// The sensor of this type, which is heard in message `id`. Where there are too many, the one that was heard longest ago
    /// goes.
    fn sensor(&mut self, sensor_type: &str, id: u64) -> &mut SensorEntry {
        if self.sensors.len() >= MOST_TYPES && !self.sensors.contains_key(sensor_type) {
            let oldest = self.sensors.iter().min_by_key(|(_, sensor)| sensor.heard);
            let oldest = oldest.map(|(sensor_type, _)| sensor_type.clone());
            oldest.and_then(|sensor_type| self.sensors.remove(&sensor_type));
        }
        let sensor = self.sensors.entry(sensor_type.into()).or_default();
        sensor.heard = sensor.heard.max(id);
        sensor
    }

    fn count(
        &mut self,
        sensor_type: &str,
        source: SourceName,
        (at, anomaly): (Timestamp, bool),
        now: Timestamp,
    ) {
        let more =
            || -> usize { self.sensors.values().map(|sensor| sensor.tallies.len().saturating_sub(1)).sum() };
        let is_one_more = self
            .sensors
            .get(sensor_type)
            .is_some_and(|sensor| !sensor.tallies.is_empty() && !sensor.tallies.contains_key(&source));
        let source = if is_one_more && more() >= MOST_SOURCES { SourceName::other() } else { source };
        if let Some(sensor) = self.sensors.get_mut(sensor_type) {
            sensor.tallies.entry(source).or_default().count(at, anomaly, now);
        }
    }
}

impl SensorEntry {
    /// One that comes late is no newer.
    fn keep_newest(&mut self, reading: Arc<TimedReading>) {
        let place = |reading: &TimedReading| (reading.at, reading.id);
        if self.newest.as_deref().is_none_or(|newest| place(newest) <= place(&reading)) {
            self.newest = Some(reading);
        }
    }
}

impl KeptPayloads {
    fn bind(&mut self, device: &DeviceId, topic: String, message: &TimedReading) {
        let bytes = message.payload_bytes();
        if bytes > 0 && self.messages.insert((message.id, device.clone(), topic)) {
            self.bytes += bytes;
        }
    }

    fn let_go(&mut self, device: &DeviceId, topic: &str, message: &TimedReading) {
        if self.messages.remove(&(message.id, device.clone(), topic.to_owned())) {
            self.bytes -= message.payload_bytes();
        }
    }

    /// The topic of the oldest message, where the payloads are too many; its payload is the caller's to take away.
    fn too_many(&mut self) -> Option<(DeviceId, String)> {
        let oldest = (self.bytes > MOST_PAYLOAD_BYTES).then(|| self.messages.pop_first()).flatten();
        oldest.map(|(_, device, topic)| (device, topic))
    }
}

impl TimedReading {
    /// The same without the payload, which most lists do not show.
    fn without_payload(&self) -> Arc<Self> {
        let CloudReading {
            sensor_type,
            sensor_id,
            value,
            unit,
            origin,
            source_protocol,
            anomaly,
            topic,
            raw: _,
        } = &self.reading;
        let reading = CloudReading {
            sensor_type: sensor_type.clone(),
            sensor_id: sensor_id.clone(),
            value: value.clone(),
            unit: unit.clone(),
            origin: origin.clone(),
            source_protocol: source_protocol.clone(),
            anomaly: *anomaly,
            raw: None,
            topic: topic.clone(),
        };
        Arc::new(Self { reading, ..*self })
    }

    fn payload_bytes(&self) -> usize {
        self.reading.raw.as_ref().map_or(0, |raw| raw.len())
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
mod tests;
