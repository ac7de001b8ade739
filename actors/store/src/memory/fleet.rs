//! The fleet's stored data, in memory.

use std::collections::{BTreeMap, HashMap};

use super::count;
use crate::{
    FleetChanges, FleetRecord, JobCounts, JobDevice, JobDevicePage, JobDeviceQuery, JobOp, StepSweep,
};
use twinhub_domain::DeviceNumber;
use twinhub_domain::fleet::{JobId, JobStep, RecordKind};

/// The fleet's part of the memory store.
#[derive(Debug, Default)]
pub struct MemoryFleet {
    records: BTreeMap<(RecordKind, Box<str>), FleetRecord>,
    jobs: HashMap<JobId, HashMap<DeviceNumber, JobDevice>>,
}

impl MemoryFleet {
    /// Applies a commit.
    pub fn take(&mut self, FleetChanges { records, jobs }: &FleetChanges) {
        for record in records {
            let key = (record.kind, record.id.clone());
            if record.body.is_some() {
                self.records.insert(key, record.clone());
                continue;
            }
            self.records.remove(&key);
            if let (RecordKind::Job, Some(job)) = (record.kind, JobId::parse(&record.id)) {
                self.jobs.remove(&job);
            }
        }
        for op in jobs {
            match op {
                JobOp::Devices(devices) => {
                    for device in devices {
                        let of_job = self.jobs.entry(device.step.job).or_default();
                        of_job.entry(device.number).or_insert_with(|| device.clone());
                    }
                }
                JobOp::Step { number, at, step } => {
                    let device = self.jobs.get_mut(&step.job).and_then(|devices| devices.get_mut(number));
                    if let Some(device) = device.filter(|device| device.step.state.gives_way_to(step.state)) {
                        (device.step, device.at) = (step.clone(), *at);
                    }
                }
                JobOp::Sweep(sweep) => self.sweep(sweep),
                JobOp::Forget { job, places: (from, to) } => {
                    if let Some(devices) = self.jobs.get_mut(job) {
                        devices.retain(|_, device| !(*from..*to).contains(&device.place));
                    }
                }
            }
        }
    }

    fn sweep(&mut self, StepSweep { job, from, places, to, detail, at }: &StepSweep) {
        let query =
            JobDeviceQuery { states: from.clone(), places: Some(*places), ..JobDeviceQuery::of(*job) };
        let devices = self.jobs.get_mut(job).into_iter().flat_map(HashMap::values_mut);
        for device in devices.filter(|device| is_asked_for(&query, device)) {
            device.step = JobStep::new(*job, *to).because(detail.clone());
            device.at = *at;
        }
    }

    pub fn records(&self, kind: RecordKind) -> Vec<FleetRecord> {
        self.records.values().filter(|record| record.kind == kind).cloned().collect()
    }

    /// `is_beyond`: is this device beyond the query's reach?
    pub fn job_devices(
        &self,
        query: &JobDeviceQuery,
        is_beyond: impl Fn(DeviceNumber) -> bool,
    ) -> JobDevicePage {
        let all = self.jobs.get(&query.job).into_iter().flat_map(HashMap::values);
        let wanted = |device: &&JobDevice| is_asked_for(query, device) && !is_beyond(device.number);
        let mut found: Vec<&JobDevice> = all.filter(wanted).collect();
        found.sort_by_key(|device| device.place);
        let total = if query.counted { found.len() as u64 } else { 0 };
        let page = found.into_iter().skip(count(query.offset)).take(count(query.limit));
        JobDevicePage { devices: page.cloned().collect(), total }
    }

    /// The numbers of a job's devices.
    pub fn devices_of(&self, job: JobId) -> impl Iterator<Item = DeviceNumber> {
        self.jobs.get(&job).into_iter().flat_map(HashMap::values).map(|device| device.number)
    }

    pub fn job_counts(&self, job: JobId, places: Option<(u64, u64)>) -> JobCounts {
        let query = JobDeviceQuery { places, ..JobDeviceQuery::of(job) };
        let mut counts = JobCounts::new();
        for device in self.jobs.get(&job).into_iter().flat_map(HashMap::values) {
            if is_asked_for(&query, device) {
                *counts.entry(device.step.state).or_default() += 1;
            }
        }
        counts
    }
}

fn is_asked_for(query: &JobDeviceQuery, device: &JobDevice) -> bool {
    (query.states.is_empty() || query.states.contains(&device.step.state))
        && query.device.is_none_or(|number| device.number == number)
        && query.places.is_none_or(|(from, to)| (from..to).contains(&device.place))
}
