//! A store in memory, for tests: the same answers as the durable one, by the simplest means.

mod access;
mod automation;
mod bound_keys;
mod fleet;
mod reach;
mod retained;
mod series;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use self::access::AccessRecords;
use self::automation::MemoryAutomation;
use self::fleet::MemoryFleet;
use super::{
    AccessStore, AlarmPage, AlarmQuery, AutomationState, Batch, BatchPlace, CertificateEnd, ClockDoubt,
    CommandPage, CommandQuery, CommandRecord, Deadline, DeliveryPage, DeliveryQuery, DeviceDataCounts,
    DevicePage, DevicePlace, DeviceQuery, DeviceSort, EventQuery, FleetRecord, Head, JobCounts,
    JobDevicePage, JobDeviceQuery, JobPlace, Replayed, RunPage, RunQuery, Store, StoreError, select,
};
use crate::batch::CommitPlaces;
use twinhub_access::Reach;
use twinhub_domain::Outgoing;
use twinhub_domain::alarm::{Alarm, AlarmId};
use twinhub_domain::fleet::{JobId, RecordKind};
use twinhub_domain::retained::RetainedMessage;
use twinhub_domain::run::{RuleId, RunEntry, RunId};
use twinhub_domain::series::{Bucket, HistoryQuery, SeriesByName, StatisticsQuery, StoredReading};
use twinhub_domain::{
    CommandId, DeviceId, DeviceNumber, EventBody, EventKind, ReadingTime, Recorded, Timestamp, Twin,
};

/// A store in memory, for tests. Nothing in it ever fails.
#[derive(Debug, Default)]
pub struct MemoryStore {
    keep_journal: Option<Duration>,
    inner: Mutex<MemoryState>,
}

#[derive(Debug, Default)]
struct MemoryState {
    head: Head,
    commit_places: CommitPlaces,
    /// The journal for replay: by batch, with the time of its commit.
    journal: Vec<(Timestamp, Vec<Arc<Recorded>>)>,
    /// The last `seq` that the journal has let go.
    pruned: u64,
    /// The events for a device's history and log.
    by_device: HashMap<DeviceNumber, Vec<Arc<Recorded>>>,
    /// All that is no telemetry.
    log: BTreeMap<u64, Arc<Recorded>>,
    twins: BTreeMap<DeviceNumber, (u64, Twin)>,
    commands: BTreeMap<CommandId, CommandRecord>,
    outbox: BTreeMap<u64, Outgoing>,
    automated: MemoryAutomation,
    fleet: MemoryFleet,
    retained: BTreeMap<Arc<str>, RetainedMessage>,
    access: AccessRecords,
}

impl MemoryStore {
    /// A store whose journal forgets batches older than `keep_journal` at each [`Store::maintain`].
    #[must_use]
    pub fn keeping_journal(keep_journal: Duration) -> Self {
        Self { keep_journal: Some(keep_journal), inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, MemoryState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn access(self: Arc<Self>) -> Arc<dyn AccessStore> {
        self
    }

    async fn head(&self) -> Result<Head, StoreError> {
        let inner = self.inner();
        let mut head = inner.head.clone();
        // Where no event was written, rules may have seen the time all the same.
        head.at = head.at.or_else(|| inner.automated.seen_until());
        Ok(head)
    }

    async fn commit(&self, batch: &mut Batch) -> Result<BatchPlace, StoreError> {
        let mut inner = self.inner();
        if !inner.commit_places.is_committed(batch) {
            inner.commit_places.place(batch, inner.head.seq);
            inner.commit(batch);
            inner.commit_places.note_committed(batch);
        }
        Ok(batch.place())
    }

    async fn load(&self, ids: &[DeviceId]) -> Result<Vec<Twin>, StoreError> {
        let inner = self.inner();
        let twins = inner.twins.values().map(|(_, twin)| twin);
        Ok(twins.filter(|twin| ids.contains(&twin.id)).cloned().collect())
    }

    async fn devices(&self, query: &DeviceQuery) -> Result<DevicePage, StoreError> {
        let inner = self.inner();
        let all = inner.twins.values().map(|(_, twin)| twin);
        let mut found: Vec<&Twin> = all.filter(|twin| select::matches(query, twin)).collect();
        found.sort_by(|one, other| {
            let by_key = match query.sort {
                DeviceSort::Number => std::cmp::Ordering::Equal,
                DeviceSort::Id => select::ordered(one.id.as_str()).cmp(&select::ordered(other.id.as_str())),
                DeviceSort::Name => {
                    select::ordered(one.display_name()).cmp(&select::ordered(other.display_name()))
                }
                DeviceSort::Type => {
                    select::alike(&one.profile.device_type).cmp(&select::alike(&other.profile.device_type))
                }
                DeviceSort::Status => one.presence.status.as_str().cmp(other.presence.status.as_str()),
                DeviceSort::LastSeen => one.presence.last_seen.cmp(&other.presence.last_seen),
                DeviceSort::CreatedAt => one.created_at.cmp(&other.created_at),
                DeviceSort::UpdatedAt => one.updated_at.cmp(&other.updated_at),
            };
            by_key.then(one.number.cmp(&other.number))
        });
        if query.descending {
            found.reverse();
        }
        let total = found.len() as u64;
        let (offset, limit) = (count(query.offset), count(query.limit));
        Ok(DevicePage { twins: found.into_iter().skip(offset).take(limit).cloned().collect(), total })
    }

    async fn numbers(&self, query: &DeviceQuery) -> Result<Vec<DeviceNumber>, StoreError> {
        let inner = self.inner();
        let twins = inner.twins.values().map(|(_, twin)| twin);
        Ok(twins.filter(|twin| select::matches(query, twin)).map(|twin| twin.number).collect())
    }

    async fn twins(&self, numbers: &[DeviceNumber]) -> Result<Vec<Twin>, StoreError> {
        let inner = self.inner();
        Ok(numbers
            .iter()
            .filter_map(|number| inner.twins.get(number))
            .map(|(_, twin)| twin.clone())
            .collect())
    }

    async fn places(&self) -> Result<Vec<DevicePlace>, StoreError> {
        Ok(self.inner().places())
    }

    async fn find_serial(&self, serial: &str) -> Result<Option<Twin>, StoreError> {
        let inner = self.inner();
        let twins = || inner.twins.values().map(|(_, twin)| twin);
        let by_serial = twins().find(|twin| &*twin.profile.serial_number == serial);
        let by_id =
            || twins().find(|twin| twin.profile.serial_number.is_empty() && twin.id.as_str() == serial);
        Ok(by_serial.or_else(by_id).cloned())
    }

    async fn find_token(&self, hash: &str) -> Result<Option<DeviceId>, StoreError> {
        let inner = self.inner();
        let mut twins = inner.twins.values().map(|(_, twin)| twin);
        let is_its = |twin: &&Twin| twin.profile.token_hashes().any(|own| own == hash);
        Ok(twins.find(is_its).map(|twin| twin.id.clone()))
    }

    async fn find_certificate(&self, fingerprint: &str) -> Result<Option<DeviceId>, StoreError> {
        let inner = self.inner();
        let mut twins = inner.twins.values().map(|(_, twin)| twin);
        let is_its = |twin: &&Twin| !fingerprint.is_empty() && twin.profile.certificate() == fingerprint;
        Ok(twins.find(is_its).map(|twin| twin.id.clone()))
    }

    async fn certificates_ending(
        &self,
        before: Timestamp,
        limit: u64,
    ) -> Result<Vec<CertificateEnd>, StoreError> {
        let inner = self.inner();
        let end = |twin: &Twin| {
            let at = twin.profile.certificate_end()?;
            Some(CertificateEnd { device: twin.id.clone(), number: twin.number, at })
        };
        let mut ending: Vec<_> = inner.twins.values().filter_map(|(_, twin)| end(twin)).collect();
        ending.retain(|end| end.at < before);
        ending.sort_unstable_by_key(|end| (end.at, end.number));
        ending.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(ending)
    }

    async fn raw_history(&self, query: &HistoryQuery) -> Result<Vec<StoredReading>, StoreError> {
        let inner = self.inner();
        let mut messages: Vec<&Arc<Recorded>> = inner.of_device(query.device).collect();
        messages.sort_by_key(|recorded| (recorded.event.at, recorded.seq));
        if query.newest_first {
            messages.reverse();
        }
        let readings = messages.into_iter().flat_map(|recorded| select::stored_readings(query, recorded));
        Ok(readings.take(query.limit).collect())
    }

    async fn bucket_history(&self, query: &HistoryQuery) -> Result<Vec<Bucket>, StoreError> {
        let inner = self.inner();
        Ok(series::buckets(query, inner.of_device(query.device)))
    }

    async fn statistics(&self, query: &StatisticsQuery) -> Result<SeriesByName, StoreError> {
        let inner = self.inner();
        Ok(series::statistics(query, inner.of_device(query.device)))
    }

    async fn has_messages(
        &self,
        device: DeviceNumber,
        messages: &[(ReadingTime, u64)],
    ) -> Result<HashSet<u64>, StoreError> {
        let wanted = messages.iter().copied().collect();
        let inner = self.inner();
        Ok(inner.of_device(device).filter_map(|recorded| select::message(recorded, &wanted)).collect())
    }

    async fn extent(&self, device: DeviceNumber) -> Result<DeviceDataCounts, StoreError> {
        let inner = self.inner();
        let readings = |recorded: &Arc<Recorded>| match &recorded.event.body {
            EventBody::Telemetry { readings, .. } => readings.len() as u64,
            _ => 0,
        };
        let is_its = |recorded: &&Arc<Recorded>| recorded.event.number == device;
        Ok(DeviceDataCounts {
            readings: inner.of_device(device).map(readings).sum(),
            events: inner.log.values().filter(is_its).count() as u64,
            commands: inner.commands.values().filter(|record| record.number == device).count() as u64,
            alarms: inner.automated.alarms_of(device),
        })
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<Arc<Recorded>>, StoreError> {
        let inner = self.inner();
        let mut found: BTreeMap<u64, Arc<Recorded>> = inner.log.clone();
        let telemetry: Vec<&Arc<Recorded>> = match query.device {
            Some(device) => inner.of_device(device).collect(),
            None => inner.journal.iter().flat_map(|(_, events)| events).collect(),
        };
        found.extend(telemetry.into_iter().map(|recorded| (recorded.seq, Arc::clone(recorded))));
        let is_within = |number| query.device.is_some() || inner.is_within(&query.reach, number);
        found.retain(|_, recorded| select::wants(query, recorded) && is_within(recorded.event.number));
        let in_order = found.into_values();
        Ok(if query.newest_first {
            in_order.rev().skip(query.offset).take(query.limit).collect()
        } else {
            in_order.skip(query.offset).take(query.limit).collect()
        })
    }

    async fn replay(&self, after: u64, up_to: u64, limit: usize) -> Result<Replayed, StoreError> {
        let inner = self.inner();
        let up_to = up_to.min(inner.head.seq);
        if after >= up_to || limit == 0 {
            return Ok(Replayed::default());
        }
        let all = inner.journal.iter().flat_map(|(_, events)| events);
        let events =
            all.filter(|recorded| recorded.seq > after && recorded.seq <= up_to).take(limit).cloned();
        Ok(Replayed { events: events.collect(), pruned: after < inner.pruned })
    }

    async fn commands(&self, query: &CommandQuery) -> Result<CommandPage, StoreError> {
        let inner = self.inner();
        let asked = inner.commands.values().filter(|record| select::is_asked_for(query, record));
        let mut found: Vec<&CommandRecord> =
            asked.filter(|record| inner.is_within(&query.reach, record.number)).collect();
        found.sort_by_key(|record| (record.command.created_at, record.command.id));
        if query.newest_first {
            found.reverse();
        }
        let total = found.len() as u64;
        let (offset, limit) = (count(query.offset), count(query.limit));
        Ok(CommandPage { commands: found.into_iter().skip(offset).take(limit).cloned().collect(), total })
    }

    async fn command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        Ok(self.inner().commands.get(&id).cloned())
    }

    async fn command_with_key(
        &self,
        device: DeviceNumber,
        key: &str,
    ) -> Result<Option<CommandRecord>, StoreError> {
        let inner = self.inner();
        let of_device = inner.commands.values().filter(|record| record.number == device);
        let with_key =
            of_device.filter(|record| record.command.request.idempotency_key.as_deref() == Some(key));
        Ok(with_key.max_by_key(|record| (record.command.created_at, record.command.id)).cloned())
    }

    async fn deadlines(&self, after: DeviceNumber, limit: u64) -> Result<Vec<Deadline>, StoreError> {
        let inner = self.inner();
        let later = inner.twins.range(after..).filter(|(number, _)| **number > after);
        Ok(later.filter_map(|(_, (_, twin))| select::deadline(twin)).take(count(limit)).collect())
    }

    async fn automation(&self) -> Result<AutomationState, StoreError> {
        Ok(self.inner().automated.state())
    }

    async fn past(
        &self,
        devices: Option<&[DeviceNumber]>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Recorded>>, StoreError> {
        let inner = self.inner();
        let mut found: BTreeMap<u64, Arc<Recorded>> = inner.log.clone();
        let readings: Vec<&Arc<Recorded>> = match devices {
            Some(devices) => devices.iter().flat_map(|device| inner.of_device(*device)).collect(),
            None => inner.journal.iter().flat_map(|(_, events)| events).collect(),
        };
        found.extend(readings.into_iter().map(|recorded| (recorded.seq, Arc::clone(recorded))));
        let is_theirs = |number: DeviceNumber| {
            number == select::NOBODY || devices.is_none_or(|devices| devices.contains(&number))
        };
        let later = found.into_iter().filter(|(seq, _)| *seq > after).map(|(_, recorded)| recorded);
        Ok(later.filter(|recorded| is_theirs(recorded.event.number)).take(limit).collect())
    }

    async fn runs(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        let inner = self.inner();
        Ok(inner.automated.runs(query, |number| inner.is_within(&query.reach, number)))
    }

    async fn run(&self, id: RunId) -> Result<Option<RunEntry>, StoreError> {
        Ok(self.inner().automated.run(id))
    }

    async fn last_runs(&self, rules: &[RuleId]) -> Result<Vec<RunEntry>, StoreError> {
        Ok(self.inner().automated.last_runs(rules))
    }

    async fn alarms(&self, query: &AlarmQuery) -> Result<AlarmPage, StoreError> {
        let inner = self.inner();
        Ok(inner.automated.alarms(query, |number| inner.is_within(&query.reach, number)))
    }

    async fn alarm(&self, id: AlarmId) -> Result<Option<Alarm>, StoreError> {
        Ok(self.inner().automated.alarm(id))
    }

    async fn deliveries(&self, query: &DeliveryQuery) -> Result<DeliveryPage, StoreError> {
        Ok(self.inner().automated.deliveries(query))
    }

    async fn records(&self, kind: RecordKind) -> Result<Vec<FleetRecord>, StoreError> {
        Ok(self.inner().fleet.records(kind))
    }

    async fn job_devices(&self, query: &JobDeviceQuery) -> Result<JobDevicePage, StoreError> {
        let inner = self.inner();
        Ok(inner.fleet.job_devices(query, |number| {
            inner.twins.contains_key(&number) && !inner.is_within(&query.reach, number)
        }))
    }

    async fn job_counts(&self, job: JobId, places: Option<(u64, u64)>) -> Result<JobCounts, StoreError> {
        Ok(self.inner().fleet.job_counts(job, places))
    }

    async fn job_places(
        &self,
        jobs: &[JobId],
        reach: &Reach,
    ) -> Result<HashMap<JobId, JobPlace>, StoreError> {
        Ok(self.inner().job_places(jobs, reach))
    }

    async fn outgoing(&self) -> Result<Vec<Outgoing>, StoreError> {
        Ok(self.inner().outbox.values().cloned().collect())
    }

    async fn maintain(&self, now: Timestamp) -> Result<(), StoreError> {
        if let Some(keep) = self.keep_journal {
            let until = now.plus_millis(-i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
            self.inner().prune(until);
        }
        Ok(())
    }

    async fn doubt(&self, doubt: ClockDoubt) -> Result<(), StoreError> {
        self.inner().head.doubt = doubt;
        Ok(())
    }
}

impl MemoryState {
    fn commit(&mut self, batch: &Batch) {
        if let Some(last) = batch.events.last() {
            self.head.seq = last.seq;
            self.head.at = Some(batch.at);
            self.journal.push((batch.at, batch.events.to_vec()));
        }
        for recorded in batch.events.iter() {
            self.take(recorded);
        }
        for (seq, twin) in &batch.twins {
            let (had, state) = self.twins.entry(twin.number).or_insert_with(|| (0, twin.clone()));
            if seq >= had {
                (*had, *state) = (*seq, twin.clone());
            }
        }
        for record in &batch.commands {
            self.commands.insert(record.command.id, record.clone());
        }
        for (seq, device) in &batch.removed {
            self.remove(*seq, *device);
        }
        let numbers = self.twins.keys().map(|number| number.0).max();
        self.head.number = self.head.number.max(numbers.unwrap_or_default());
        for message in &batch.outgoing {
            self.head.outgoing = self.head.outgoing.max(message.id);
            self.outbox.insert(message.id, message.clone());
        }
        self.outbox.retain(|id, _| !batch.sent.contains(id));
        let numbers = self.twins.values().map(|(_, twin)| (&twin.id, twin.number)).collect();
        self.automated.take(&batch.automation, &numbers);
        self.fleet.take(&batch.fleet);
    }

    fn take(&mut self, recorded: &Arc<Recorded>) {
        let event = &recorded.event;
        if !select::makes_twin(event) {
            self.log.insert(recorded.seq, Arc::clone(recorded));
            return;
        }
        let new = || (0, Twin::new(event.device.clone(), event.number, event.received_at));
        let (seq, twin) = self.twins.entry(event.number).or_insert_with(new);
        if recorded.seq > *seq {
            twin.redo(event);
            *seq = recorded.seq;
        }
        if event.kind() == EventKind::Telemetry {
            self.by_device.entry(event.number).or_default().push(Arc::clone(recorded));
        } else {
            self.log.insert(recorded.seq, Arc::clone(recorded));
        }
    }

    fn remove(&mut self, seq: u64, device: DeviceNumber) {
        self.twins.remove(&device);
        self.by_device.remove(&device);
        self.automated.forget(device);
        self.commands.retain(|_, record| record.number != device);
        self.head.number = self.head.number.max(device.0);
        let stays = |recorded: &Arc<Recorded>| recorded.event.number != device || recorded.seq >= seq;
        self.log.retain(|_, recorded| stays(recorded));
        for (_, events) in &mut self.journal {
            events.retain(stays);
        }
    }

    fn prune(&mut self, until: Timestamp) {
        let kept = self.journal.iter().position(|(at, _)| *at >= until).unwrap_or(self.journal.len());
        for (_, events) in self.journal.drain(..kept) {
            self.pruned = events.last().map_or(self.pruned, |last| last.seq);
        }
    }

    fn of_device(&self, device: DeviceNumber) -> impl Iterator<Item = &Arc<Recorded>> + Clone {
        self.by_device.get(&device).into_iter().flatten()
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
